"""What a reranker makes of BM25's first hits at several depths, alone and joined with BM25; every pair is scored once.

    CHINESE_MODERNBERT_DATA=... python benchmarks/rerank_depths.py MODEL --tokenizer CHECKPOINT [--queries 200] [--bf16]

Joined by ranks: 1 / (60 + rank), added up. Joined by scores: each of the two is scaled to deviation 1 among a query's
hits and they are added with a weight, which is chosen on one half of the queries and measured on the other, both ways.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from chinese_modernbert.evaluation.estimates import mean_gain
from chinese_modernbert.evaluation.retrieval import load_search_model, read_retrieval_task
from chinese_modernbert.evaluation.retrieval.bm25 import Bm25Searcher, TokenSegmenter
from chinese_modernbert.evaluation.retrieval.combined import fuse_hits
from chinese_modernbert.evaluation.retrieval.measures import query_ndcg
from chinese_modernbert.evaluation.retrieval.searcher import NOT_FOUND, Hits
from chinese_modernbert.evaluation.retrieval.tasks import RetrievalTask
from chinese_modernbert.runtime.markdown import markdown_table
from chinese_modernbert.tokenization import load_tokenizer
from chinese_modernbert.trainers.contrastive.models import limit_length

DEPTHS = (5, 10, 20, 50)
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
RESAMPLES = 10_000


def main() -> None:
    """Print a table of depths and ways to join."""
    options = read_options()
    task = read_retrieval_task(options.task, Path(os.environ.get("CHINESE_MODERNBERT_DATA", "")) / "sts")
    chosen = np.linspace(0, len(task.queries) - 1, min(options.queries or len(task.queries), len(task.queries)))
    task = part_of(task, chosen.astype(int).tolist())
    bm25 = Bm25Searcher(TokenSegmenter(load_tokenizer(options.tokenizer)))
    bm25.build(task.passages)
    first = bm25.search(list(task.queries), 100)
    depths = [depth for depth in DEPTHS if depth <= options.depth]
    start = time.perf_counter()
    logits = pair_scores(options, task, first)
    count = int(np.isfinite(logits).sum())
    seconds = time.perf_counter() - start
    print(f"{count:,} pairs in {seconds:.0f} s, {1000 * seconds / count:.1f} ms", flush=True)
    if options.scores:
        np.savez(options.scores, numbers=first[0], bm25=first[1], logits=logits)
    base = query_ndcg(task, *first)
    rows = [("BM25 over tokens", "", f"{base.mean():.4f}", "")]
    for depth in depths:
        alone = reranked(first, np.where(np.arange(logits.shape[1]) < depth, logits, np.nan))
        found = {
            "reranker": query_ndcg(task, *alone),
            "joined by ranks": query_ndcg(task, *fuse_hits([first, alone])),
            "joined by scores": by_scores(task, first, logits, depth),
        }
        rows += [
            (name, depth, f"{values.mean():.4f}", mean_gain(values - base, RESAMPLES).signed)
            for name, values in found.items()
        ]
    print("\n".join(markdown_table(("search", "depth", "nDCG@10", "over BM25 (95 %)"), rows)))


def read_options() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of a reranker")
    parser.add_argument("--tokenizer", required=True, help="folder whose tokens BM25 counts")
    parser.add_argument("--task", default="dureader:dev", help="set that is searched")
    parser.add_argument("--queries", type=int, help="so many, evenly spaced; all by default")
    parser.add_argument("--depth", type=int, default=50, help="hits of a query that are read")
    parser.add_argument("--longest", type=int, default=192, help="tokens of query and passage together")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--scores", type=Path, help=".npz to keep the scores in")
    return parser.parse_args()


def part_of(task: RetrievalTask, numbers: list[int]) -> RetrievalTask:
    """Return some queries of a task, and all of its passages."""
    queries = tuple(task.queries[number] for number in numbers)
    relevant = tuple(task.relevant[number] for number in numbers)
    return RetrievalTask(
        queries, task.passages, relevant, tuple(task.grades[number] for number in numbers if task.grades)
    )


def pair_scores(options: argparse.Namespace, task: RetrievalTask, first: Hits) -> np.ndarray:
    """Return the logits float `[Q, depth]` of each query with its first hits, NaN where nothing was found."""
    model: Any = load_search_model(options.model)
    limit_length(model, options.longest)
    numbers, scores = (side[:, : options.depth] for side in first)
    places = np.argwhere(scores != NOT_FOUND)
    pairs = [(task.queries[row], task.passages[numbers[row, rank]]) for row, rank in places]
    with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
        found = model.predict(pairs, batch_size=64, activation_fn=nn.Identity(), show_progress_bar=False)
    logits = np.full(scores.shape, np.nan)
    logits[tuple(places.T)] = found
    return logits


def reranked(first: Hits, scores: np.ndarray) -> Hits:
    """Return the hits with those that have a score in its order, the others behind them in their own."""
    numbers, own = first
    ranked = np.where(own != NOT_FOUND, -1e6 - np.arange(own.shape[1]), NOT_FOUND)
    part = ranked[:, : scores.shape[1]]
    part[~np.isnan(scores)] = scores[~np.isnan(scores)]
    order = np.argsort(-ranked, axis=1, kind="stable")
    return np.take_along_axis(numbers, order, axis=1), np.take_along_axis(ranked, order, axis=1)


def by_scores(task: RetrievalTask, first: Hits, logits: np.ndarray, depth: int) -> np.ndarray:
    """Return nDCG@10 of each query under the weight that is best for the queries of the other half."""
    logits = np.where(np.arange(logits.shape[1]) < depth, logits, np.nan)
    lexical = scaled(np.where(np.isnan(logits), np.nan, first[1][:, : logits.shape[1]]))
    model = scaled(logits)
    values = np.stack(
        [query_ndcg(task, *reranked(first, weight * model + (1 - weight) * lexical)) for weight in WEIGHTS]
    )
    half = np.arange(values.shape[1]) % 2
    best = [int(values[:, half != side].mean(axis=1).argmax()) for side in (0, 1)]
    print(f"depth {depth}: weights {', '.join(str(WEIGHTS[one]) for one in best)}", flush=True)
    return np.where(half == 0, values[best[0]], values[best[1]])


def scaled(scores: np.ndarray) -> np.ndarray:
    """Return scores with mean 0 and deviation 1 in each row."""
    deviation = np.nanstd(scores, axis=1, keepdims=True)
    return (scores - np.nanmean(scores, axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)


if __name__ == "__main__":
    main()

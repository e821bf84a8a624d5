"""What the index of a sparse model takes in every engine that keeps it, and what BM25 finds in the sets at hand.

    CHINESE_MODERNBERT_DATA=... python benchmarks/search_indexes.py MODEL [--passages 300]

MODEL is a sparse encoder that `retrieval` saved. The index is that of `dureader:dev`, or of its first passages. An
engine that is not installed is named; `pip install 'chinese-modernbert[engines]'` brings both.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from chinese_modernbert.evaluation.retrieval import SparseSearcher, load_search_model, read_retrieval_task
from chinese_modernbert.evaluation.retrieval.bm25 import Bm25Searcher, TokenSegmenter
from chinese_modernbert.evaluation.retrieval.engines import ENGINES, export_index
from chinese_modernbert.evaluation.retrieval.expansion import tokenizers_of
from chinese_modernbert.evaluation.retrieval.results import measure_search
from chinese_modernbert.runtime.markdown import markdown_table
from chinese_modernbert.tokenization import load_segmenter

INDEXED = "dureader:dev"
SEARCHED = ("dureader:dev", "kuake_qtr:dev", "qbqtc:dev", "qbqtc:test", "t2ranking:dev")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of a sparse encoder")
    parser.add_argument("--passages", type=int, help="how many of the first are indexed; all by default")
    options = parser.parse_args()
    sets = Path(os.environ.get("CHINESE_MODERNBERT_DATA", "")) / "sts"
    searcher = SparseSearcher(load_search_model(options.model))
    tokenizer = tokenizers_of(searcher.model)[0]
    searcher.build(read_retrieval_task(INDEXED, sets).passages[: options.passages])
    sizes = [("in memory", searcher.index_bytes)]
    with tempfile.TemporaryDirectory() as folder:
        for engine, (suffix, _) in ENGINES.items():
            try:
                sizes.append((engine, export_index(searcher, Path(folder) / f"index{suffix}", engine)))
            except ImportError as error:
                sizes.append((engine, str(error)))
    weights = searcher.index.nnz
    shown = [
        (name, size) if isinstance(size, str) else (name, f"{size / 1e6:.2f}, {size / weights:.1f} bytes a weight")
        for name, size in sizes
    ]
    sys.stdout.write("\n".join(markdown_table((f"{weights:,} weights", "MB"), shown)) + "\n\n")
    sys.stdout.flush()
    rows = []
    for name in SEARCHED:
        try:
            task = read_retrieval_task(name, sets)
        except FileNotFoundError:
            rows.append((name, "not at hand", "", "", "", "", ""))
            continue
        for units, segmenter in (("words", load_segmenter()), ("tokens", TokenSegmenter(tokenizer))):
            found = measure_search(Bm25Searcher(segmenter), task)
            values = [f"{found.measures[one]:.4f}" for one in ("ndcg@10", "mrr@10", "recall@100")]
            size = f"{found.index_bytes / 1e6:.2f}"
            rows.append((f"{name}, {units}", len(task.queries), len(task.passages), *values, size))
    titles = ("BM25 in", "queries", "passages", "nDCG@10", "MRR@10", "Recall@100", "index, MB")
    sys.stdout.write("\n".join(markdown_table(titles, rows)) + "\n")


if __name__ == "__main__":
    main()

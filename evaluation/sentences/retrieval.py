"""Retrieval with exact search: the task, the search by vectors, and the measures of any search.

The measures are those of sentence-transformers' evaluator, which ranks whatever hits it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.util import quantize_embeddings, semantic_search

from .files import Triplet

DEPTH = 100
RECALLS = (1, 10, 100)


@dataclass(frozen=True)
class RetrievalTask:
    """Questions, passages, and which passages answer which question.

    Attributes:
        queries: texts
        passages: texts, each once
        relevant: for each query the numbers of its passages, at least one
    """

    queries: tuple[str, ...]
    passages: tuple[str, ...]
    relevant: tuple[frozenset[int], ...]

    def __post_init__(self) -> None:
        if not self.queries or len(self.queries) != len(self.relevant):
            raise ValueError(f"{len(self.queries)} queries and {len(self.relevant)} sets of passages do not fit")
        for number, found in enumerate(self.relevant):
            if not found or min(found) < 0 or max(found) >= len(self.passages):
                raise ValueError(f"query {number} names no passage, or one outside 0..{len(self.passages) - 1}")


def task_from_triplets(triplets: Sequence[Triplet], distractors: Sequence[str] = ()) -> RetrievalTask:
    """Return the task to find each anchor's positives among all positives, negatives and `distractors`.

    Equal texts are one query or one passage, so that a text never competes with itself.
    """
    passages: dict[str, int] = {}
    relevant: dict[str, set[int]] = {}
    for triplet in triplets:
        for text in (triplet.positive, *triplet.negatives):
            passages.setdefault(text, len(passages))
        relevant.setdefault(triplet.anchor, set()).add(passages[triplet.positive])
    for text in distractors:
        passages.setdefault(text, len(passages))
    return RetrievalTask(tuple(relevant), tuple(passages), tuple(map(frozenset, relevant.values())))


def search_vectors(queries: np.ndarray, passages: np.ndarray, depth: int = DEPTH) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers int64 `[Q, depth]` and cosines of the nearest passages, by exact search."""
    hits = semantic_search(queries, passages, top_k=min(depth, len(passages)))  # pyright: ignore[reportArgumentType]
    numbers = [[int(hit["corpus_id"]) for hit in row] for row in hits]
    return np.array(numbers), np.array([[hit["score"] for hit in row] for row in hits])


def encode_task(model: SentenceTransformer, task: RetrievalTask) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of queries and passages, float32; each side gets the model's own prompt."""
    queries = model.encode_query(list(task.queries), show_progress_bar=False)
    passages = model.encode_document(list(task.passages), show_progress_bar=False)
    return np.asarray(queries), np.asarray(passages)


def score_retrieval(task: RetrievalTask, numbers: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return nDCG@10, MRR@10 and recall at 1, 10 and 100 of ranked passages.

    Args:
        task: what was searched
        numbers: int64 `[Q, K]`, passages of each query
        scores: float `[Q, K]`, their scores, higher is better
    """
    names = [str(number) for number in range(len(task.passages))]
    evaluator = InformationRetrievalEvaluator(
        queries={str(number): text for number, text in enumerate(task.queries)},
        corpus=dict(zip(names, task.passages, strict=True)),
        relevant_docs={str(number): {names[i] for i in found} for number, found in enumerate(task.relevant)},
        mrr_at_k=[10],
        ndcg_at_k=[10],
        accuracy_at_k=[1],
        precision_recall_at_k=list(RECALLS),
        map_at_k=[100],
    )
    hits: list[Any] = [
        [{"corpus_id": names[i], "score": float(score)} for i, score in zip(row, values, strict=True)]
        for row, values in zip(numbers.tolist(), scores.tolist(), strict=True)
    ]
    found = evaluator.compute_metrics(hits)
    recalls = {f"recall@{k}": float(found["recall@k"][k]) for k in RECALLS}
    return {"ndcg@10": float(found["ndcg@k"][10]), "mrr@10": float(found["mrr@k"][10]), **recalls}


PRECISIONS = ("int8", "binary", "binary rescored")
# Hits of the binary search that are scored anew, for each hit to return. Source: default of sentence-transformers.
RESCORE_FACTOR = 4
QUERIES_AT_ONCE = 64


def search_quantized(
    queries: np.ndarray, passages: np.ndarray, precision: str, depth: int = DEPTH
) -> tuple[np.ndarray, np.ndarray]:
    """Search among quantized passages, exhaustively.

    Args:
        queries: float `[Q, D]`
        passages: float `[P, D]`
        precision: `int8` (one byte per dimension, ranges from the passages), `binary` (one bit on both sides, Hamming
            distance) or `binary rescored` (the same, and its nearest are ranked again by the float query)
        depth: hits of each query

    Returns:
        The numbers int64 `[Q, depth]` and scores float32 of the best passages, higher is better.

    Raises:
        ValueError: If the precision is none of these.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision='{precision}' is not known; choose one of {', '.join(PRECISIONS)}")
    queries, passages = (_unit(side) for side in (queries, passages))
    stored = _dequantized(passages) if precision == "int8" else _signs(passages)
    found = [
        _search(queries[start : start + QUERIES_AT_ONCE], stored, precision, min(depth, len(passages)))
        for start in range(0, len(queries), QUERIES_AT_ONCE)
    ]
    numbers, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return numbers, scores


def _search(queries: np.ndarray, stored: np.ndarray, precision: str, depth: int) -> tuple[np.ndarray, np.ndarray]:
    if precision == "int8":
        return _best(queries @ stored.T, depth)
    near = _signs(queries) @ stored.T
    if precision == "binary":
        return _best(near, depth)
    candidates, _ = _best(near, min(RESCORE_FACTOR * depth, len(stored)))
    rows, scores = _best(np.einsum("qd,qkd->qk", queries, stored[candidates]), depth)
    return np.take_along_axis(candidates, rows, axis=1), scores


def _dequantized(passages: np.ndarray) -> np.ndarray:
    """Return int8 codes of passages, turned back into float32 at the middle of each step."""
    ranges = np.stack([passages.min(axis=0), passages.max(axis=0)])
    codes = np.asarray(quantize_embeddings(passages, "int8", ranges=ranges))
    steps = (ranges[1] - ranges[0]) / 255
    return ranges[0] + steps * (codes.astype(np.float32) + 128.5)


def _signs(vectors: np.ndarray) -> np.ndarray:
    """Return binary codes, unpacked to -1 and 1 as float32: a product counts the bits that agree."""
    codes = np.asarray(quantize_embeddings(vectors, "ubinary"))
    return 2 * np.unpackbits(codes, axis=1, count=vectors.shape[1]).astype(np.float32) - 1


def _best(scores: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers and scores of the `depth` highest of each row, highest first."""
    chosen = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
    found = np.take_along_axis(scores, chosen, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1), np.take_along_axis(found, order, axis=1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)

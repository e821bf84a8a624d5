"""Exact search by vectors, as they are and quantized."""

from __future__ import annotations

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import quantize_embeddings, semantic_search

from .tasks import RetrievalTask

DEPTH = 100
PRECISIONS = ("int8", "binary", "binary rescored")
# Hits of the binary search that are scored anew, for each hit to return. Source: default of sentence-transformers.
RESCORE_FACTOR = 4
QUERIES_AT_ONCE = 64


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

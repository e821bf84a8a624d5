"""Exact search by vectors, as they are and quantized."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import quantize_embeddings

from .searcher import (
    DEPTH,
    QUERIES_AT_ONCE,
    Hits,
    best_hits,
    checked_passages,
    joined_hits,
    require_index,
    require_model,
    search_in_parts,
    weight_bytes,
)
from .tasks import RetrievalTask

PRECISIONS = ("int8", "binary", "binary rescored")
# Hits of the binary search that are scored anew, for each hit to return. Source: default of sentence-transformers.
RESCORE_FACTOR = 4


class DenseSearcher:
    """Search by the vectors of a sentence encoder, every one of them compared.

    Args:
        model: ranks by the cosine or the inner product, as it says; each side gets its own prompt

    Raises:
        ValueError: For a model of another kind, or one that compares otherwise.
    """

    kind = "dense"

    def __init__(self, model: SentenceTransformer) -> None:
        require_model(model, SentenceTransformer)
        if model.similarity_fn_name not in ("cosine", "dot"):
            raise ValueError(
                f"the model compares by '{model.similarity_fn_name}', search by vectors by cosine or dot; set its "
                "similarity_fn_name to one of them"
            )
        self.model = model
        self.vectors: np.ndarray | None = None

    @property
    def index_bytes(self) -> int:
        """Bytes of the vectors."""
        return require_index(self.vectors).nbytes

    @property
    def model_bytes(self) -> int:
        """Bytes of the weights."""
        return weight_bytes(self.model)

    def build(self, passages: Sequence[str]) -> None:
        """Encode the passages, see `Searcher`."""
        self.vectors = self._compared(self.model.encode_document(checked_passages(passages), show_progress_bar=False))

    def search(self, queries: Sequence[str], depth: int = DEPTH) -> Hits:
        """Return the nearest passages, see `Searcher`."""
        return search_in_parts(self._search, queries, depth)

    def _search(self, queries: list[str], depth: int) -> Hits:
        vectors = require_index(self.vectors)
        return search_products(
            self._compared(self.model.encode_query(queries, show_progress_bar=False)), vectors, depth
        )

    def _compared(self, vectors: object) -> np.ndarray:
        found = np.asarray(vectors, dtype=np.float32)
        return _unit(found) if self.model.similarity_fn_name == "cosine" else found


def search_vectors(queries: np.ndarray, passages: np.ndarray, depth: int = DEPTH) -> Hits:
    """Return the numbers int64 `[Q, depth]` and cosines of the nearest passages, by exact search."""
    return search_products(_unit(queries), _unit(passages), depth)


def search_products(queries: np.ndarray, passages: np.ndarray, depth: int = DEPTH) -> Hits:
    """Return the numbers int64 `[Q, depth]` and inner products of the best passages, by exact search."""
    return joined_hits(
        best_hits(queries[start : start + QUERIES_AT_ONCE] @ passages.T, depth)
        for start in range(0, len(queries), QUERIES_AT_ONCE)
    )


def encode_task(model: SentenceTransformer, task: RetrievalTask) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of queries and passages, float32; each side gets the model's own prompt."""
    queries = model.encode_query(list(task.queries), show_progress_bar=False)
    passages = model.encode_document(list(task.passages), show_progress_bar=False)
    return np.asarray(queries), np.asarray(passages)


def search_quantized(queries: np.ndarray, passages: np.ndarray, precision: str, depth: int = DEPTH) -> Hits:
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
    if precision == "int8":
        return search_products(queries, _dequantized(passages), depth)
    stored, depth = _signs(passages), min(depth, len(passages))
    if precision == "binary":
        return search_products(_signs(queries), stored, depth)
    candidates, _ = search_products(_signs(queries), stored, RESCORE_FACTOR * depth)
    rescored = np.stack([stored[row] @ query for query, row in zip(queries, candidates, strict=True)])
    columns, scores = best_hits(rescored, depth)
    return np.take_along_axis(candidates, columns, axis=1), scores


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


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)

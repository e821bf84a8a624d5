"""What every kind of search offers, and what they share: hits of a table of scores, and sizes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from torch import nn

DEPTH = 100
QUERIES_AT_ONCE = 64
NOT_FOUND = -np.inf
"""The score of a passage that is listed though nothing in it was found, so that all rows are of one length."""

Hits = tuple[np.ndarray, np.ndarray]
Index = TypeVar("Index")


class Searcher(Protocol):
    """Search in passages that were given before."""

    @property
    def kind(self) -> str:
        """What it is: a key of `report.MARKERS`."""
        ...

    @property
    def index_bytes(self) -> int:
        """Size of what is kept of the passages, without their texts, as it is stored."""
        ...

    @property
    def model_bytes(self) -> int:
        """Size of the weights, as they are stored."""
        ...

    def build(self, passages: Sequence[str]) -> None:
        """Take in the passages; those of an earlier call are forgotten."""
        ...

    def search(self, queries: Sequence[str], depth: int = DEPTH) -> Hits:
        """Return the best passages of each query.

        Args:
            queries: texts
            depth: hits of each query; all passages where there are fewer

        Returns:
            The numbers of the passages int64 `[Q, K]`, best first, and their scores float `[Q, K]`. Passages of equal
            score come in their own order; a score of `NOT_FOUND` fills a row up.

        Raises:
            RuntimeError: Before `build`.
        """
        ...


class BuiltSearcher(NamedTuple):
    """A searcher that has its passages, to be asked alone and as a part of others without being built again.

    Attributes:
        searcher: the searcher
        seconds: what building it took
    """

    searcher: Searcher
    seconds: float

    @classmethod
    def build(cls, searcher: Searcher, passages: Sequence[str]) -> BuiltSearcher:
        """Build a searcher."""
        start = time.perf_counter()
        searcher.build(passages)
        return cls(searcher, time.perf_counter() - start)


def best_hits(scores: np.ndarray, depth: int) -> Hits:
    """Return the numbers int64 `[Q, K]` and scores of the highest of each row, highest first, ties in their own order.

    Args:
        scores: float `[Q, P]`
        depth: hits of each row, at most P
    """
    depth = min(depth, scores.shape[1])
    if not len(scores) or not depth:
        return np.zeros((len(scores), depth), dtype=np.int64), np.zeros((len(scores), depth), dtype=scores.dtype)
    lowest = np.partition(scores, -depth, axis=1)[:, -depth]
    numbers = np.stack([_best(row, bound, depth) for row, bound in zip(scores, lowest, strict=True)])
    return numbers, np.take_along_axis(scores, numbers, axis=1)


def _best(scores: np.ndarray, lowest: float, depth: int) -> np.ndarray:
    above = np.flatnonzero(scores > lowest)
    level = np.flatnonzero(scores == lowest)[: depth - len(above)]
    return np.concatenate([above[np.argsort(-scores[above], kind="stable")], level])


def joined_hits(parts: Iterator[Hits]) -> Hits:
    """Return the hits of parts of the queries as one table."""
    numbers, scores = (np.concatenate(side) for side in zip(*parts, strict=True))
    return numbers, scores


def in_parts(queries: Sequence[str]) -> Iterator[list[str]]:
    """Yield `QUERIES_AT_ONCE` queries at a time."""
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        yield list(queries[start : start + QUERIES_AT_ONCE])


def require_index(index: Index | None) -> Index:
    """Return an index that was built.

    Raises:
        RuntimeError: If it was not.
    """
    if index is None:
        raise RuntimeError("there are no passages to search in; call build with them first")
    return index


def weight_bytes(model: nn.Module) -> int:
    """Return the bytes of a model's weights as its file holds them: tied ones once."""
    found = {value.data_ptr(): value.nbytes for value in model.state_dict().values()}
    return sum(found.values())

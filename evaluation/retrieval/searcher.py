"""What every kind of search offers, and what they share: hits of a table of scores, and sizes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

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
        """What it is, in a word: those of `report.MARKERS` have their own marker in a chart."""
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
        """Take in the passages; those of an earlier call are forgotten.

        Raises:
            ValueError: If there is none, or something is no text.
        """
        ...

    def search(self, queries: Sequence[str], depth: int = DEPTH) -> Hits:
        """Return the best passages of each query.

        Args:
            queries: texts; of none there are no hits
            depth: hits of each query, 1 or more; all passages where there are fewer

        Returns:
            The numbers of the passages int64 `[Q, K]`, best first, and their scores float `[Q, K]`. Passages of equal
            score come in their own order; a score of `NOT_FOUND` fills a row up.

        Raises:
            RuntimeError: Before `build`.
            ValueError: For one text in the place of several, something that is no text, a depth below 1, or a score
                that is no number.
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

    Raises:
        ValueError: If a score is no number.
    """
    refuse_nan(scores)
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


def refuse_nan(scores: np.ndarray) -> None:
    """Refuse scores that rank nothing.

    Raises:
        ValueError: If one is no number.
    """
    if np.isnan(scores).any():
        raise ValueError("the model gives scores that are no numbers (nan): its weights are damaged; train it again")


def search_in_parts(search: Callable[[list[str], int], Hits], queries: Sequence[str], depth: int) -> Hits:
    """Return the hits of all queries, asked `QUERIES_AT_ONCE` at a time, see `Searcher.search`.

    Args:
        search: gives the hits of some queries
        queries: texts
        depth: hits of each
    """
    texts = checked_texts(queries, "queries")
    if depth < 1:
        raise ValueError(f"depth={depth} lists no passage; give 1 or more")
    starts = range(0, len(texts), QUERIES_AT_ONCE)
    return joined_hits(search(texts[start : start + QUERIES_AT_ONCE], depth) for start in starts)


def joined_hits(parts: Iterable[Hits]) -> Hits:
    """Return the hits of parts of the queries as one table, an empty one of no parts."""
    found = list(parts)
    if not found:
        return np.zeros((0, 0), dtype=np.int64), np.zeros((0, 0))
    numbers, scores = (np.concatenate(side) for side in zip(*found, strict=True))
    return numbers, scores


def checked_passages(passages: Sequence[str]) -> list[str]:
    """Return the passages that an index is built of, see `Searcher.build`."""
    found = checked_texts(passages, "passages")
    if not found:
        raise ValueError("there are no passages to search in; give one or more")
    return found


def checked_texts(texts: Sequence[str], name: str) -> list[str]:
    """Return texts as a list.

    Args:
        texts: the texts
        name: what they are, for the message

    Raises:
        ValueError: For one text, whose characters would be taken for texts, or something that is no text.
    """
    if isinstance(texts, str):
        raise ValueError(f"{name} is one text, expected a list of texts; put it into brackets")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"{name}[{number}] is {type(text).__name__}, expected text")
    return list(texts)


def require_model(model: Any, kind: type[Any]) -> None:
    """Refuse a model of another kind than a searcher reads with.

    Raises:
        ValueError: If it is one.
    """
    if not isinstance(model, kind):
        raise ValueError(f"the model is a {type(model).__name__}, this search needs a {kind.__name__}")


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

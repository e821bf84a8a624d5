"""Searchers made of others: a reranker over the hits of one, and the fusion of several by scores or ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from sentence_transformers import CrossEncoder
from torch import nn

from .searcher import (
    DEPTH,
    NOT_FOUND,
    Hits,
    Searcher,
    best_hits,
    checked_passages,
    refuse_nan,
    require_model,
    search_in_parts,
    weight_bytes,
)

# How little the first ranks weigh more than the next. Source: Cormack, Clarke and Buettcher, SIGIR 2009.
FUSION_CONSTANT = 60
# A depth beyond any collection: a searcher lists all of its passages.
EVERY_PASSAGE = 2**31
# Scores whose deviation is below this share of the largest differ by rounding alone. Source: ours, for float32.
LEAST_DEVIATION = 1e-5


class RerankingSearcher:
    """The first hits of a searcher, ranked again by a model that reads query and passage together.

    Args:
        first: finds the candidates
        model: gives a pair one number
        depth: hits of each query that are ranked again; the others follow in their order

    Raises:
        ValueError: If the model is of another kind or gives more than one number, or the depth is below 1.
    """

    kind = "reranker"

    def __init__(self, first: Searcher, model: CrossEncoder, depth: int = 50) -> None:
        require_model(model, CrossEncoder)
        if model.num_labels != 1:
            raise ValueError(f"the model gives {model.num_labels} numbers, a reranker one; train it with num_labels=1")
        if depth < 1:
            raise ValueError(f"depth={depth} leaves nothing to rank again; give 1 or more")
        self.first, self.model, self.depth = first, model, depth
        self.passages: tuple[str, ...] = ()

    @property
    def index_bytes(self) -> int:
        """Bytes of the index that finds the candidates."""
        return self.first.index_bytes

    @property
    def model_bytes(self) -> int:
        """Bytes of the weights of both."""
        return self.first.model_bytes + weight_bytes(self.model)

    def build(self, passages: Sequence[str]) -> None:
        """Build the first searcher, see `Searcher`."""
        self.passages = tuple(checked_passages(passages))
        self.first.build(self.passages)

    def search(self, queries: Sequence[str], depth: int = DEPTH) -> Hits:
        """Return the best passages, see `Searcher`; those beyond the ranked ones score below all of them."""
        return search_in_parts(self._search, queries, depth)

    def _search(self, queries: list[str], depth: int) -> Hits:
        numbers, scores = self.first.search(queries, max(depth, self.depth))
        is_read = (scores != NOT_FOUND) & (np.arange(scores.shape[1]) < self.depth)
        places = zip(*is_read.nonzero(), strict=True)
        pairs = [(queries[row], self.passages[numbers[row, rank]]) for row, rank in places]
        # The logits themselves: a sigmoid gives what is clear to the model one and the same score.
        found = self.model.predict(pairs, activation_fn=nn.Identity(), show_progress_bar=False)
        refuse_nan(found)
        ranked = np.where(scores != NOT_FOUND, -1.0 - np.arange(scores.shape[1]), NOT_FOUND)
        ranked += np.min(found, initial=0.0)
        ranked[is_read] = found
        order = np.argsort(-ranked, axis=1, kind="stable")[:, :depth]
        return np.take_along_axis(numbers, order, axis=1), np.take_along_axis(ranked, order, axis=1)


class FusedSearcher:
    """Several searchers at once, by their scores or by the ranks of their hits.

    By scores, each searcher's scores for all passages of a query are scaled to mean 0 and deviation 1 and added: a
    passage counts for as much as it stands out to each, so that a search which is sure outweighs one which is not.
    Every searcher lists all passages for it: where they are millions, that takes time and memory. By ranks, a passage
    scores the sum of 1 / (60 + rank), and every searcher counts alike, also one that finds little.

    Sources: scores, our default (benchmarks/2026-11-28-search.md); ranks, reciprocal rank fusion, Cormack, Clarke and
    Buettcher, SIGIR 2009.

    Args:
        searchers: two or more
        by: `scores` or `ranks`

    Raises:
        ValueError: If there are fewer, or a reranker is joined by scores.
    """

    kind = "fused"

    def __init__(self, searchers: Sequence[Searcher], by: Literal["scores", "ranks"] = "scores") -> None:
        if len(searchers) < 2:
            raise ValueError(f"{len(searchers)} searchers cannot be fused; give two or more")
        if by not in ("scores", "ranks"):
            raise ValueError(f"by='{by}' is not known; choose scores or ranks")
        if by == "scores" and any(isinstance(one, RerankingSearcher) for one in searchers):
            raise ValueError("a reranker scores the hits that it reads alone; fuse it by ranks")
        self.searchers, self.by = tuple(searchers), by

    @property
    def index_bytes(self) -> int:
        """Bytes of all indexes."""
        return sum(one.index_bytes for one in self.searchers)

    @property
    def model_bytes(self) -> int:
        """Bytes of the weights of all models."""
        return sum(one.model_bytes for one in self.searchers)

    def build(self, passages: Sequence[str]) -> None:
        """Build every searcher, see `Searcher`."""
        for one in self.searchers:
            one.build(passages)

    def search(self, queries: Sequence[str], depth: int = DEPTH) -> Hits:
        """Return the best passages, see `Searcher`.

        By ranks, every searcher gives `DEPTH` hits, or as many as are asked for.
        """
        return search_in_parts(self._by_scores if self.by == "scores" else self._by_ranks, queries, depth)

    def _by_ranks(self, queries: list[str], depth: int) -> Hits:
        numbers, scores = fuse_hits([one.search(queries, max(depth, DEPTH)) for one in self.searchers])
        return numbers[:, :depth], scores[:, :depth]

    def _by_scores(self, queries: list[str], depth: int) -> Hits:
        found = [one.search(queries, EVERY_PASSAGE) for one in self.searchers]
        is_found = np.any([in_own_order(numbers, scores != NOT_FOUND) for numbers, scores in found], axis=0)
        totals = np.sum([standardized(in_own_order(*hits)) for hits in found], axis=0)
        return best_hits(np.where(is_found, totals, NOT_FOUND), depth)


def in_own_order(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the values of hits on all passages `[Q, P]` in the order of the passages."""
    found = np.empty_like(values)
    np.put_along_axis(found, numbers, values, axis=1)
    return found


def standardized(scores: np.ndarray) -> np.ndarray:
    """Return scores float64 `[Q, P]` with mean 0 and deviation 1 in each row, 0 where all are equal but for rounding.

    What was not found shares no term with the query, so that its score is 0.
    """
    found = np.where(scores == NOT_FOUND, 0.0, scores).astype(np.float64)
    deviation, largest = found.std(axis=1, keepdims=True), np.abs(found).max(axis=1, keepdims=True)
    found -= found.mean(axis=1, keepdims=True)
    return np.divide(found, deviation, out=np.zeros_like(found), where=deviation > LEAST_DEVIATION * largest)


def fuse_hits(found: Sequence[Hits]) -> Hits:
    """Return the hits of several searchers as one table of as many columns, see `FusedSearcher`.

    Args:
        found: int64 `[Q, K]` and float `[Q, K]` of each; what was not found adds nothing
    """
    depth = found[0][0].shape[1]
    numbers, scores = np.zeros(found[0][0].shape, dtype=np.int64), np.zeros(found[0][0].shape)
    for query in range(len(numbers)):
        totals: dict[int, float] = {}
        for row, values in ((one[query], score[query]) for one, score in found):
            for rank, (number, value) in enumerate(zip(row.tolist(), values.tolist(), strict=True), start=1):
                share = 1 / (FUSION_CONSTANT + rank) if value != NOT_FOUND else 0.0
                totals[number] = totals.get(number, 0.0) + share
        best = sorted(totals.items(), key=lambda hit: -hit[1])[:depth]  # stable: the first searcher's order in ties
        numbers[query], scores[query] = zip(*best, strict=True)
    return numbers, np.where(scores > 0, scores, NOT_FOUND)

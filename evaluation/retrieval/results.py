"""What a searcher finds and costs on a task, kept so that two can be compared."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...runtime.files import read_record, write_text_atomically
from ..estimates import RESAMPLES, Estimate, mean_gain
from .measures import query_ndcg, score_retrieval
from .searcher import DEPTH, BuiltSearcher, Searcher
from .tasks import RetrievalTask

# Queries that are asked one at a time for the time of one, and seconds after which no further one is asked.
# Source: our defaults.
TIMED_QUERIES, TIMED_SECONDS = 100, 20.0
WARM_QUERIES = 3


@dataclass(frozen=True)
class SearchResult:
    """What one searcher finds and costs on one task.

    Attributes:
        name: what the rows of a report call it
        kind: see `Searcher.kind`
        task: name of the set
        fingerprint: see `RetrievalTask.fingerprint`
        measures: nDCG@10, MRR@10 and recall at 1, 10 and 100
        query_ndcg: nDCG@10 of each query, float `[Q]`
        milliseconds_per_query: median of queries that were asked one at a time, after some to warm up
        milliseconds_per_document: time to build the index over the number of passages
        timed_queries: how many queries the median is of
        index_bytes: see `Searcher`
        model_bytes: see `Searcher`
    """

    SHAPE: ClassVar[dict[str, Any]] = {
        "name": str,
        "kind": str,
        "task": str,
        "fingerprint": str,
        "measures": {...: float},
        "query_ndcg": [float],
        "milliseconds_per_query": float,
        "milliseconds_per_document": float,
        "timed_queries": int,
        "index_bytes": int,
        "model_bytes": int,
    }
    """The fields of a file, see `require_shape`."""

    name: str
    kind: str
    task: str
    fingerprint: str
    measures: dict[str, float]
    query_ndcg: Sequence[float]
    milliseconds_per_query: float
    milliseconds_per_document: float
    timed_queries: int
    index_bytes: int
    model_bytes: int

    def gain_over(self, other: SearchResult, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
        """Return the gain in nDCG@10 over another searcher, with the interval of the paired bootstrap over queries.

        Raises:
            ValueError: If the two searched different tasks.
        """
        if self.fingerprint != other.fingerprint:
            raise ValueError(
                f"'{self.name}' and '{other.name}' did not search the same {self.task}; measure both on the same data"
            )
        return mean_gain(np.array(self.query_ndcg) - np.array(other.query_ndcg), resamples, seed)

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        write_text_atomically(path, json.dumps(self.as_dict(), ensure_ascii=False) + "\n")

    def as_dict(self) -> dict[str, Any]:
        """Return plain data; nDCG of a query has six decimals."""
        return {**asdict(self), "query_ndcg": np.round(self.query_ndcg, 6).tolist()}

    @classmethod
    def load(cls, path: Path) -> SearchResult:
        """Read what `save` wrote.

        Raises:
            OSError: If it cannot be opened.
            ValueError: If it is something else.
        """
        found = read_record(path, cls.SHAPE, "delete it to measure again")
        return cls(**{name: found[name] for name in cls.SHAPE})


def measure_search(
    searcher: Searcher | BuiltSearcher, task: RetrievalTask, name: str = "", task_name: str = ""
) -> SearchResult:
    """Build a searcher on the passages of a task and ask it all queries, at once and some of them one at a time.

    Args:
        searcher: is built here, unless it is built on these passages
        task: what is searched
        name: what the rows of a report call the searcher; its kind by default
        task_name: name of the set
    """
    if not isinstance(searcher, BuiltSearcher):
        searcher = BuiltSearcher.build(searcher, task.passages)
    searcher, seconds = searcher
    hits = searcher.search(task.queries, DEPTH)
    times = _single_times(searcher, task)
    return SearchResult(
        name=name or searcher.kind,
        kind=searcher.kind,
        task=task_name,
        fingerprint=task.fingerprint(),
        measures=score_retrieval(task, *hits),
        query_ndcg=query_ndcg(task, *hits).tolist(),
        milliseconds_per_query=1000 * float(np.median(times)),
        milliseconds_per_document=1000 * seconds / len(task.passages),
        timed_queries=len(times),
        index_bytes=searcher.index_bytes,
        model_bytes=searcher.model_bytes,
    )


def _single_times(searcher: Searcher, task: RetrievalTask) -> list[float]:
    """Return the seconds of single queries, evenly spaced over the task."""
    chosen = np.linspace(0, len(task.queries) - 1, min(TIMED_QUERIES, len(task.queries))).astype(int)
    for number in chosen[:WARM_QUERIES]:
        searcher.search([task.queries[number]], DEPTH)
    times, begin = [], time.perf_counter()
    for number in chosen:
        start = time.perf_counter()
        searcher.search([task.queries[number]], DEPTH)
        times.append(time.perf_counter() - start)
        if time.perf_counter() - begin > TIMED_SECONDS:
            break
    return times

"""What is measured of a search, kept and read again, and the paired gain of one over another."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap

from chinese_modernbert.evaluation.retrieval import results
from chinese_modernbert.evaluation.retrieval.bm25 import Bm25Searcher
from chinese_modernbert.evaluation.retrieval.measures import score_retrieval
from chinese_modernbert.evaluation.retrieval.results import SearchResult, measure_search
from chinese_modernbert.evaluation.retrieval.tasks import RetrievalTask


@pytest.fixture
def measured(task: RetrievalTask, characters: Any) -> SearchResult:
    return measure_search(Bm25Searcher(characters), task, "words", "dureader:dev")


def test_a_search_is_measured_and_kept(measured: SearchResult, task: RetrievalTask, tmp_path: Path) -> None:
    assert measured.measures["ndcg@10"] == pytest.approx(np.mean(measured.query_ndcg))
    assert 0 < measured.measures["ndcg@10"] < 1 and len(measured.query_ndcg) == 12
    assert measured.index_bytes > 0 and measured.model_bytes == 0 and measured.timed_queries == 12
    measured.save(tmp_path / "result.json")
    kept = SearchResult.load(tmp_path / "result.json")
    assert kept.query_ndcg == pytest.approx(measured.query_ndcg, abs=1e-6)
    assert dataclasses.replace(kept, query_ndcg=measured.query_ndcg) == measured


def test_queries_are_timed_one_at_a_time_and_evenly_spaced(
    task: RetrievalTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Recorder:
        kind, index_bytes, model_bytes = "dense", 0, 0

        def __init__(self) -> None:
            self.asked: list[list[str]] = []

        def build(self, passages: Any) -> None:
            pass

        def search(self, queries: Any, depth: int = 100) -> tuple[np.ndarray, np.ndarray]:
            self.asked.append(list(queries))
            return np.tile(np.arange(50), (len(queries), 1)), np.zeros((len(queries), 50))

    monkeypatch.setattr(results, "TIMED_QUERIES", 4)
    searcher = Recorder()
    assert measure_search(searcher, task).timed_queries == 4
    timed = [[task.queries[number]] for number in (0, 3, 7, 11)]
    assert searcher.asked == [list(task.queries), *timed[:3], *timed]
    monkeypatch.setattr(results, "TIMED_SECONDS", 0.0)
    assert measure_search(searcher, task).timed_queries == 1


def test_a_gain_has_the_interval_of_a_paired_bootstrap(measured: SearchResult) -> None:
    drawn = np.random.default_rng(1)
    first, second = 0.5 + drawn.random(200) / 2, drawn.random(200)
    better = dataclasses.replace(measured, name="better", query_ndcg=first.tolist())
    worse = dataclasses.replace(measured, query_ndcg=second.tolist())
    gain = better.gain_over(worse, resamples=5_000)
    assert gain.value == pytest.approx((first - second).mean())
    expected = bootstrap((first - second,), np.mean, n_resamples=5_000, method="percentile", rng=0)
    assert (gain.low, gain.high) == pytest.approx(tuple(expected.confidence_interval), abs=3e-3)
    other = dataclasses.replace(worse, fingerprint="0" * 16)
    with pytest.raises(ValueError, match="'better' and 'words' did not search the same dureader:dev"):
        better.gain_over(other)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ("{}", "has no field 'name'"), ('{"name": 1}', "name is int, expected str")],
)
def test_a_file_that_holds_something_else_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"result.json.*{message}.*; delete it to measure again"):
        SearchResult.load(tmp_path / "result.json")


def test_the_measures_are_those_of_the_hits(measured: SearchResult, task: RetrievalTask, characters: Any) -> None:
    searcher = Bm25Searcher(characters)
    searcher.build(task.passages)
    assert measured.measures == score_retrieval(task, *searcher.search(task.queries))

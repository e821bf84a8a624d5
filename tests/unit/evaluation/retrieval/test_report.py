"""The report of searches: a table for each task, gains over BM25, a chart of every kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chinese_modernbert.evaluation.retrieval.report import MARKERS, write_search_report
from chinese_modernbert.evaluation.retrieval.results import SearchResult


def result(name: str, kind: str, quality: float, milliseconds: float, task: str = "dureader:dev") -> SearchResult:
    measures = {"ndcg@10": quality, "mrr@10": quality, "recall@1": 0.1, "recall@10": 0.2, "recall@100": 0.3}
    single = [quality - 0.01, quality + 0.01]
    return SearchResult(name, kind, task, task, measures, single, milliseconds, 0.5, 2, 1_500_000, 20_000_000)


@pytest.fixture
def results() -> list[SearchResult]:
    return [result(f"a|{kind}", kind, 0.5 + 0.05 * n, 0.4 * 3**n) for n, kind in enumerate(MARKERS)]


def test_a_report_has_a_row_for_each_search_and_a_table_for_each_task(
    results: list[SearchResult], tmp_path: Path
) -> None:
    other = result("alone", "dense", 0.25, 3, task="own")
    report = write_search_report(tmp_path, [*results, other], {"model": "M"}, 10, {"dropped": "2 rows"})
    text = report.read_text("utf-8")
    assert text.startswith("# Search: M\n") and "## dureader:dev" in text and "## own" in text
    assert r"| a\|dense | dense | 0.5500 | 0.5500 | 0.3000 | +0.0500 (+0.0500 to +0.0500) | 1.20 |" in text
    assert r"| a\|bm25 | BM25 | 0.5000 | 0.5000 | 0.3000 |  | 0.40 | 0.50 | 1.50 | 20.0 |" in text
    assert "| alone | dense | 0.2500 | 0.2500 | 0.3000 |  | 3.00 |" in text  # without BM25 there is no gain
    assert "- dropped: 2 rows" in text
    assert (tmp_path / "quality-and-time.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert [row["name"] for row in found["results"]] == [*(one.name for one in results), "alone"]
    assert found["results"][1]["gain_over_bm25"]["value"] == pytest.approx(0.05)
    assert "query_ndcg" not in found["results"][0]


def test_a_search_of_somebody_elses_kind_goes_by_its_own_name(results: list[SearchResult], tmp_path: Path) -> None:
    text = write_search_report(tmp_path, [*results, result("theirs", "fuzzy", 0.3, 1)], {}).read_text("utf-8")
    assert "| theirs | fuzzy | 0.3000 |" in text and (tmp_path / "quality-and-time.png").is_file()


def test_results_of_different_data_under_one_name_are_refused(results: list[SearchResult], tmp_path: Path) -> None:
    changed = SearchResult(**{**results[1].as_dict(), "fingerprint": "x", "name": "changed"})
    with pytest.raises(ValueError, match="did not search the same dureader:dev"):
        write_search_report(tmp_path, [*results, changed], {})
    with pytest.raises(ValueError, match=r"two results are called 'a\|dense'; give measure_search a name for each"):
        write_search_report(tmp_path, [*results, result("a|dense", "dense", 0.9, 1)], {})
    with pytest.raises(ValueError, match="no results to report"):
        write_search_report(tmp_path, [], {})

"""Figures of search in the card are those of the report of `retrieval`, and only of reports that measured the model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
from sentence_transformers.multi_vector_encoder.evaluation import MultiVectorInformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sparse_encoder.evaluation import SparseInformationRetrievalEvaluator

from chinese_modernbert.evaluation.retrieval import write_search_report
from chinese_modernbert.evaluation.retrieval.results import SearchResult
from chinese_modernbert.hub_release import ReleaseArguments, build_release
from chinese_modernbert.hub_release.card.search_facts import HUB_TASKS
from chinese_modernbert.runtime.files import model_files_fingerprint

OWN = "stage 1, in_batch_negatives"
SEARCHES = {"BM25": "bm25", "other": "dense", "BM25 + last stage": "fused", "before training": "sparse", OWN: "sparse"}


def write_report(folder: Path, model: Path, kind: str = "sparse", tasks: tuple[str, ...] = ("dureader:dev",)) -> Path:
    """Write what `retrieval` writes: BM25, another model, the fusion, and a model before and after a stage."""
    folder.mkdir()
    results = [
        SearchResult(
            name=name,
            kind=kind if found == "sparse" else found,
            task=task,
            fingerprint="f",
            measures={"ndcg@10": 0.5 + number / 100, "mrr@10": 0.4, "recall@100": 0.9, "recall@1": 0.3},
            query_ndcg=[0.5 + number / 100] * 4,
            milliseconds_per_query=1.25,
            milliseconds_per_document=2.0,
            timed_queries=4,
            index_bytes=1_500_000,
            model_bytes=60_000_000,
        )
        for task in tasks
        for number, (name, found) in enumerate(SEARCHES.items())
    ]
    own = model_files_fingerprint(model)
    models = {"other": "0" * 16, "before training": "1" * 16, OWN: own, "BM25 + last stage": own}
    write_search_report(folder, results, {"model": "m"}, 5, {}, models)
    return folder


def card_of(model: Path, report: Path, tmp_path: Path) -> str:
    options: dict[str, Any] = {"model_name": "o/n", "retrieval_report": str(report)}
    folder = build_release(ReleaseArguments(str(model), str(tmp_path / "built"), **options))
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_card_shows_bm25_and_the_released_model_alone_and_fused(
    saved_model: Callable[[str], Path], tmp_path: Path
) -> None:
    model = saved_model("sparse, own tokens")
    report = write_report(tmp_path / "report", model, tasks=("dureader:dev", "/home/someone/own.jsonl"))
    text = card_of(model, report, tmp_path)
    for section, this in zip(text.split("## 中文"), ("this model", "本模型"), strict=True):
        for name in ("dureader:dev", "own.jsonl"):
            assert f"| {name} | BM25 | 0.5000 | 0.4000 | 0.9000 |  | 1.25 | 1.50 | 60.0 | 4 |" in section
            row = (
                f"| {name} | {this} | 0.5400 | 0.4000 | 0.9000 | +0.0400 [+0.0400, +0.0400] | 1.25 | 1.50 | 60.0 | 4 |"
            )
            assert row in section
            assert f"| {name} | BM25 + {this} | 0.5200 |" in section
        assert "other |" not in section and "before training" not in section
    machine = json.loads((report / "report.json").read_text(encoding="utf-8"))["environment"]
    assert machine["processor"] in text and "search metrics" not in text and "/home" not in text


def test_the_hub_reads_the_measures_of_the_released_model_alone(
    saved_model: Callable[[str], Path], tmp_path: Path
) -> None:
    model = saved_model("sparse, own tokens")
    data = ModelCard(card_of(model, write_report(tmp_path / "report", model), tmp_path)).data
    found = [
        (one.task_type, one.dataset_name, one.dataset_split, one.metric_type, one.metric_value)
        for one in data.eval_results or []
    ]
    assert data.model_name == "n"
    assert found == [
        ("sparse-information-retrieval", "dureader", "dev", "dot_ndcg@10", 0.54),
        ("sparse-information-retrieval", "dureader", "dev", "dot_mrr@10", 0.4),
        ("sparse-information-retrieval", "dureader", "dev", "dot_recall@100", 0.9),
    ]


@pytest.mark.parametrize(
    ("kind", "evaluator"),
    [
        ("dense", InformationRetrievalEvaluator),
        ("sparse", SparseInformationRetrievalEvaluator),
        ("sparse_documents", SparseInformationRetrievalEvaluator),
        ("late_interaction", MultiVectorInformationRetrievalEvaluator),
        ("reranker", CrossEncoderRerankingEvaluator),
    ],
)
def test_tasks_have_the_names_that_the_library_gives_them(kind: str, evaluator: Any) -> None:
    described = evaluator.description.fget(object.__new__(evaluator))
    assert HUB_TASKS[kind] == described.lower().replace(" ", "-")


def test_a_report_that_did_not_measure_the_model_is_refused(saved_model: Callable[[str], Path], tmp_path: Path) -> None:
    model, other = saved_model("sparse, own tokens"), saved_model("sparse")
    report = write_report(tmp_path / "report", other)
    with pytest.raises(ValueError, match="is about other models than .*; give release the folder final") as caught:
        card_of(model, report, tmp_path)
    assert "\n" not in str(caught.value) and not (tmp_path / "built").exists()
    with pytest.raises(FileNotFoundError, match="retrieval_report .* is not there"):
        card_of(model, tmp_path / "nothing", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda report: report.pop("results"), "has no field 'results'"),
        (lambda report: report["results"][0]["measures"].pop("mrr@10"), "item 0, measures has no field 'mrr@10'"),
        (lambda report: report["results"][1]["gain_over_bm25"].pop("low"), "gain of 'other' has no field 'low'"),
        (lambda report: report["results"][0].pop("queries"), "run retrieval again with this version"),
    ],
)
def test_what_is_no_report_is_refused(
    change: Callable[[dict[str, Any]], Any], message: str, saved_model: Callable[[str], Path], tmp_path: Path
) -> None:
    model = saved_model("sparse, own tokens")
    file = write_report(tmp_path / "report", model) / "report.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        card_of(model, file, tmp_path)
    assert "\n" not in str(caught.value)

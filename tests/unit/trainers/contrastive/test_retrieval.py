"""The command `retrieval`: every stage is measured beside BM25, other models and fusions, kept, and measured once."""

import json
from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from chinese_modernbert.evaluation.retrieval.bm25 import TokenSegmenter
from chinese_modernbert.evaluation.retrieval.reading import read_retrieval_task
from chinese_modernbert.evaluation.retrieval.results import measure_search
from chinese_modernbert.evaluation.retrieval.vectors import DenseSearcher
from chinese_modernbert.runtime.files import model_files_fingerprint
from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.trainers.contrastive import search_judge
from chinese_modernbert.trainers.contrastive.arguments import RetrievalArguments
from chinese_modernbert.trainers.contrastive.run import run_retrieval
from chinese_modernbert.trainers.contrastive.search_judge import SearchJudge
from reference.tiny_checkpoint import write_tiny_checkpoint

THINGS = "虎狮熊猫狗马牛羊鸡鸭鱼鸟花草树木山水风云"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("model") / "checkpoint")


@pytest.fixture
def settings(checkpoint: Path, tmp_path: Path) -> dict[str, Any]:
    """Settings of a short run, with its rows written to files."""
    pairs = list(zip(THINGS, THINGS[1:], strict=False))
    rows = {
        "triplets": [{"anchor": f"{a}在哪里", "positive": f"哪里有{a}", "negative": f"{b}很大"} for a, b in pairs],
        "passages": [{"query": f"何处见{a}住", "passage": f"{a}住在山上，{b}也在"} for a, b in pairs],
    }
    for name, found in rows.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return {
        "model": str(checkpoint),
        "data": str(tmp_path),
        "stages": [{"data": [str(tmp_path / "triplets.jsonl")], "batch_size": 8}],
        "retrieval": [str(tmp_path / "passages.jsonl")],
        "output_dir": str(tmp_path / "run"),
        "bootstrap_resamples": 10,
        "leakage_similarity": 1.0,
        "learning_rate": 1e-3,
        "use_cpu": True,
    }


def arguments(settings: dict[str, Any], **changes: Any) -> RetrievalArguments:
    return load_recipe([RetrievalArguments], None, {**settings, **changes})[0]


def results(output: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads((output / "report.json").read_text("utf-8"))["results"]}


def test_stages_stand_beside_bm25_and_the_fusion_and_a_second_run_measures_nothing(settings: dict[str, Any]) -> None:
    output = run_retrieval(arguments(settings))
    found = results(output)
    assert list(found) == ["BM25", "BM25 + last stage", "before training", "stage 1, in_batch_negatives"]
    assert [row["kind"] for row in found.values()] == ["bm25", "fused", "dense", "dense"]
    task = read_retrieval_task(settings["retrieval"][0])
    again = measure_search(DenseSearcher(SentenceTransformer(str(output / "final"))), task)
    assert found["stage 1, in_batch_negatives"]["measures"] == pytest.approx(again.measures, abs=1e-6)
    assert found["before training"]["measures"] != found["stage 1, in_batch_negatives"]["measures"]
    kept = {file: file.stat().st_mtime_ns for file in output.rglob("*.json") if file.parent != output}
    run_retrieval(arguments(settings))
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def test_other_models_are_measured_alone_and_fused(settings: dict[str, Any], tmp_path: Path) -> None:
    other = run_retrieval(arguments(settings, output_dir=str(tmp_path / "other"), hybrid=False))
    assert "BM25 + last stage" not in results(other)
    output = run_retrieval(arguments(settings, stages=[], against=[str(other)]))
    found = results(output)
    assert list(found) == ["BM25", str(other), f"BM25 + {other}", "BM25 + last stage", "before training"]
    trained = results(other)["stage 1, in_batch_negatives"]["measures"]
    assert found[str(other)]["measures"] == pytest.approx(trained, abs=1e-6)


def test_passages_are_read_once_for_a_model_alone_and_fused(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = run_retrieval(arguments(settings, stages=[], output_dir=str(tmp_path / "other"), hybrid=False))
    read: list[int] = []
    encode = SentenceTransformer.encode_document
    monkeypatch.setattr(
        SentenceTransformer, "encode_document", lambda *given, **named: read.append(1) or encode(*given, **named)
    )
    found = results(run_retrieval(arguments(settings, against=[str(other)])))
    assert len(read) == 3  # before training, after it, and the other model
    for name in (str(other), "last stage"):
        alone = found["stage 1, in_batch_negatives" if name == "last stage" else name]
        fused, bm25 = found[f"BM25 + {name}"], found["BM25"]
        assert fused["index_bytes"] == bm25["index_bytes"] + alone["index_bytes"]
        assert fused["milliseconds_per_document"] >= alone["milliseconds_per_document"] > 0
    measured = found["BM25 + last stage"]["measures"]
    # Of the folder alone: an earlier command has scored the stages.
    for file in (tmp_path / "run" / "baselines").iterdir():
        file.unlink()
    again = results(run_retrieval(arguments(settings, against=[str(other)])))
    assert again["BM25 + last stage"]["measures"] == pytest.approx(measured, abs=1e-9)


def test_the_report_names_the_files_of_every_model(settings: dict[str, Any]) -> None:
    output = run_retrieval(arguments(settings))
    found = {name: row["model"] for name, row in results(output).items()}
    final = model_files_fingerprint(output / "final")
    assert found == {
        "BM25": None,
        "BM25 + last stage": final,
        "before training": model_files_fingerprint(output / "stage-0" / "model"),
        "stage 1, in_batch_negatives": final,
    }
    assert {row["queries"] for row in results(output).values()} == {len(THINGS) - 1}


def test_a_reranker_with_a_new_head_is_measured_once_it_is_trained(settings: dict[str, Any], tmp_path: Path) -> None:
    changes = {
        "kind": "reranker",
        "stages": [{"data": [str(tmp_path / "triplets.jsonl")], "loss": "binary_cross_entropy", "batch_size": 8}],
    }
    with pytest.raises(ValueError, match="no head to measure and there are no stages"):
        run_retrieval(arguments(settings, kind="reranker", stages=[]))
    output = run_retrieval(arguments(settings, **changes, rerank_depth=3))
    assert list(results(output)) == ["BM25", "stage 1, binary_cross_entropy"]
    assert "- before training: not measured, since the head is new" in (output / "report.md").read_text("utf-8")
    again = {**settings, "model": str(output / "final"), "output_dir": str(tmp_path / "again")}
    assert "before training" in results(run_retrieval(arguments(again, kind="reranker", stages=[], rerank_depth=3)))


def test_a_stage_in_bfloat16_is_scored_as_the_model_that_is_saved(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[Any] = []
    score = SearchJudge.score

    def kept(judge: SearchJudge, model: Any, folder: Path) -> Any:
        scored.append(model.encode_query("何处见虎住"))
        return score(judge, model, folder)

    monkeypatch.setattr(SearchJudge, "score", kept)
    output = run_retrieval(arguments(settings, bf16=True, hybrid=False))
    assert scored[1] == pytest.approx(SentenceTransformer(str(output / "final")).encode_query("何处见虎住"), abs=1e-5)


def test_a_command_is_not_compared_with_what_it_writes(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is the output_dir, whose model this command writes; give another"):
        run_retrieval(arguments(settings, against=[settings["output_dir"] + "/"]))


def test_a_slow_tokenizer_is_refused_before_any_stage(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_judge.AutoTokenizer, "from_pretrained", lambda *given, **named: object())
    with pytest.raises(ValueError, match="bm25_units: tokens needs a fast tokenizer"):
        run_retrieval(arguments(settings, bm25_units="tokens"))
    assert not Path(settings["output_dir"]).exists()


def test_bm25_counts_tokens_where_it_is_asked_to(settings: dict[str, Any]) -> None:
    output = run_retrieval(arguments(settings, stages=[], bm25_units="tokens"))
    found = results(output)
    assert list(found) == ["BM25", "BM25 over tokens", "BM25 over tokens + last stage", "before training"]
    tokenizer: Any = AutoTokenizer.from_pretrained(settings["model"])
    text = "老虎饕餮，2 Tigers"
    cut = TokenSegmenter(tokenizer).cut(text)
    tokenizer(text, truncation=True, max_length=4)  # as a model that shares it does
    assert TokenSegmenter(tokenizer).cut(text) == cut
    spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert cut == [text[start:end] for start, end in spans] and "".join(dict.fromkeys(cut)).startswith("老虎")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"retrieval": []}, "nothing to search in; name at least one set"),
        ({"retrieval": ["dureader", "dureader"]}, "'dureader' is named twice"),
        ({"keep_tokens": 8}, "keep_tokens acts for a SparseEncoder, and neither the model nor one of against is"),
        ({"pool_factor": 2}, "pool_factor acts for a MultiVectorEncoder"),
        ({"rerank_depth": 10}, "rerank_depth acts for a CrossEncoder"),
        ({"hybrid": False, "fusion": "ranks"}, "fusion=ranks acts where models are fused with BM25"),
        ({"against": ["no/such"]}, "no/such holds no model"),
        ({"against": ["some", "some"]}, "'some' is named twice; a model is measured once"),
        ({"against": ["BM25"]}, r"against='BM25' is the name of a row of the report; write \./BM25"),
        ({"kind": "reranker", "hybrid": False}, "hybrid acts for models that find by themselves"),
        ({"kind": "reranker", "fusion": "ranks"}, "fusion acts for models that find by themselves"),
        ({"kind": "static", "lora_rank": 4}, "lora_rank acts for kind dense or sparse"),
        ({"mining_margin": 0.2}, "mining_margin=0.2 acts where a stage has mined_negatives"),
        ({"max_steps": 0}, "max_steps=0 would train for the epochs"),
        ({"mining_margin": 7}, r"mining_margin=7(\.0)? is not a number in \[0, 1\]"),
        (
            {"stages": [{"data": ["dureader"], "max_length": 129}]},
            "max_length=129 is over the model's max_position_emb",
        ),
        ({"model": "no/such"}, "no folder of a checkpoint or release"),
        ({"kind": "colbert"}, "kind"),
        ({"kind": "static", "stages": [{"data": ["dureader"], "max_length": 96}]}, "max_length=96 acts for kinds that"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(
    settings: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        run_retrieval(arguments(settings, **changes))
    assert "\n" not in str(caught.value)
    assert not Path(settings["output_dir"]).exists()

"""Figures of the card are those of the reports, and only of reports about the released weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

from chinese_modernbert.evaluation.clue.report import summarize
from chinese_modernbert.evaluation.estimates import Estimate
from chinese_modernbert.evaluation.sentences.report import ScoredEncoder, write_sentence_report
from chinese_modernbert.evaluation.sentences.scores import SentenceScores, SimilarityResult
from chinese_modernbert.hub_release import ReleaseArguments, build_release
from chinese_modernbert.hub_release.checkpoint import read_model_config
from chinese_modernbert.hub_release.sentence_modules import SentenceModules
from chinese_modernbert.runtime.files import model_fingerprint
from chinese_modernbert.tokenization import load_tokenizer

SETTINGS = {"seeds": [1, 2], "select_on": "fold", "folds": 10, "max_train_samples": 4_000, "max_eval_samples": 0}


def run(seed: int, accuracy: float) -> dict[str, Any]:
    """One run of `clue` as its file has it."""
    scored = {"dev": {"accuracy": accuracy}}
    rows = {"dev_examples": [1.0, 0.0], "dev_gold": [1, 0], "predictions": {"dev": [1, 0]}}
    return {"seed": seed, "selection": accuracy, "scored": scored, "seconds": 1.0, **rows}


def write_clue_report(path: Path, model: str, **settings: Any) -> Path:
    about = {"kind": "classification", "summary": "", "is_own": False, "baseline": 50.0, "labels": ["0", "1"]}
    about |= dict.fromkeys(("training_rows", "selection_rows", "epochs"), 1)
    about |= dict.fromkeys(("cut", "lost_entities", "chosen_epochs"), {})
    result = {"task": "tnews", "metric": "accuracy", "learning_rate": 3e-4, "grid": {}, "data": about}
    row = summarize({**result, "runs": [run(1, 50.0), run(2, 53.0)]})
    other = {**row, "task": "ocnli", "dev": {"mean": 40.0, "deviation": 1.0}}
    path.write_text(json.dumps({"settings": {"model": model, **SETTINGS, **settings}, "tasks": [row, other]}))
    return path


def write_sts_report(folder: Path, weights: str, **settings: Any) -> Path:
    """Write what `sts` writes: two stages and a baseline."""
    folder.mkdir(exist_ok=True)
    gold, cosines = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.1, 0.3, 0.2, 0.9])

    def scored(value: float) -> SentenceScores:
        figures = {"pearson": Estimate(value, 0.0, 1.0), "spearman": Estimate(value + 0.01, value - 0.1, value + 0.1)}
        return SentenceScores({"stsb:test": SimilarityResult(figures, 1.0, 4, None, gold, cosines)})

    encoders = [
        ScoredEncoder("untrained", "baseline", scored(0.1)),
        ScoredEncoder("before training", "stage", scored(0.4)),
        ScoredEncoder("stage 1, cosent", "stage", scored(0.7)),
    ]
    plain = {"model": "m", "weights": weights, "pooling": "mean", **settings}
    write_sentence_report(folder, encoders, plain, resamples=5)
    return folder


def card_of(checkpoint: Path, tmp_path: Path, **reports: Path) -> str:
    options = {name: str(path) for name, path in reports.items()}
    folder = build_release(ReleaseArguments(str(checkpoint), str(tmp_path / "built"), model_name="o/n", **options))  # type: ignore[arg-type]
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_hub_reads_the_figures_of_both_reports(checkpoint: Path, tmp_path: Path) -> None:
    weights = model_fingerprint(checkpoint)
    reports = {
        "clue_report": write_clue_report(tmp_path / "report.json", weights),
        "sts_report": write_sts_report(tmp_path / "sts", weights),
    }
    data = ModelCard(card_of(checkpoint, tmp_path, **reports)).data
    found = [(one.task_type, one.dataset_name, one.dataset_split, one.metric_type, one.metric_value)
             for one in data.eval_results or []]  # fmt: skip
    assert data.model_name == "n"
    # The stage after is another model: its figures are in the table alone.
    assert found == [
        ("text-classification", "tnews", "dev", "accuracy", 51.5),
        ("text-classification", "ocnli", "dev", "accuracy", 40.0),
        ("sentence-similarity", "stsb", "test", "pearson", 0.4),
        ("sentence-similarity", "stsb", "test", "spearman", 0.41),
    ]


def test_both_sections_have_the_rows(checkpoint: Path, tmp_path: Path) -> None:
    weights = model_fingerprint(checkpoint)
    reports = {
        "clue_report": write_clue_report(tmp_path / "report.json", weights),
        "sts_report": write_sts_report(tmp_path / "sts", weights),
    }
    text = card_of(checkpoint, tmp_path, **reports)
    for section in text.split("## 中文"):
        assert "| tnews | accuracy | 51.50 ± 2.12 | 2 | 2 |" in section
        assert "| stsb:test | before training | 0.4000 | 0.4100 [0.3000, 0.5000] | 4 |" in section
        assert "| stsb:test | stage 1, cosent | 0.7000 | 0.7100 [0.6000, 0.8000] | 4 |" in section
        assert "untrained |" not in section and "4,000" in section
    assert (
        "tokenizer metrics, recipe, seeds and masking, training data, package versions.\n" in text
        and "\n\n\n" not in text
    )


def test_a_report_on_the_release_itself_is_about_the_same_weights(
    release: Path, checkpoint: Path, tmp_path: Path
) -> None:
    report = write_clue_report(tmp_path / "report.json", model_fingerprint(release))
    assert "| tnews |" in card_of(checkpoint, tmp_path, clue_report=report)


def test_what_sts_ended_with_has_its_own_figures(checkpoint: Path, tmp_path: Path) -> None:
    report = write_sts_report(tmp_path / "sts", "checkpoint 0123456789abcdef")
    final = shutil.copytree(checkpoint, report / "final")
    SentenceModules().write(final, read_model_config(final), load_tokenizer(final))
    text = card_of(final, tmp_path, sts_report=report)
    found = [(one.metric_type, one.metric_value) for one in ModelCard(text).data.eval_results or []]
    assert found == [("pearson", 0.7), ("spearman", 0.71)]
    assert 'This model is the last stage, "stage 1, cosent"' in text and "本模型是最后一个阶段" in text
    assert "not in this repository" not in text


def test_a_report_about_other_weights_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    reports = {
        "clue_report": write_clue_report(tmp_path / "report.json", "checkpoint 0123456789abcdef"),
        "sts_report": write_sts_report(tmp_path / "sts", "checkpoint 0123456789abcdef"),
    }
    for option, path in reports.items():
        with pytest.raises(
            ValueError, match=f"{option} .* is about other weights .checkpoint 0123456789abcdef"
        ) as caught:
            card_of(checkpoint, tmp_path, **{option: path})
        assert "\n" not in str(caught.value) and not (tmp_path / "built").exists()


@pytest.mark.parametrize("changes", [{"pooling": "cls"}])
def test_an_encoder_that_is_not_the_release_is_not_in_the_index(
    changes: dict[str, str], checkpoint: Path, tmp_path: Path
) -> None:
    report = write_sts_report(tmp_path / "sts", model_fingerprint(checkpoint), **changes)
    text = card_of(checkpoint, tmp_path, sts_report=report)
    assert "| stsb:test | before training |" in text and "model-index" not in text


def test_files_that_are_no_reports(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="sts_report .* is not there"):
        card_of(checkpoint, tmp_path, sts_report=tmp_path / "nothing")
    (tmp_path / "report.json").write_text(json.dumps({"settings": {"model": model_fingerprint(checkpoint)}}))
    with pytest.raises(ValueError, match="clue_report .* has no 'tasks'"):
        card_of(checkpoint, tmp_path, clue_report=tmp_path / "report.json")


def test_a_failed_training_and_one_run_are_said(checkpoint: Path, tmp_path: Path) -> None:
    path = write_clue_report(
        tmp_path / "report.json", model_fingerprint(checkpoint), select_on="dev", max_eval_samples=9
    )
    content = json.loads(path.read_text())
    content["tasks"][0].update(is_collapsed=True, dev={"mean": 50.0, "deviation": None})
    path.write_text(json.dumps(content))
    text = card_of(checkpoint, tmp_path, clue_report=path)
    assert "| tnews (every run predicts one class: failed training) | accuracy | 50.00 |" in text
    assert "chosen on the dev rows themselves" in text and "at most 9 rows" in text

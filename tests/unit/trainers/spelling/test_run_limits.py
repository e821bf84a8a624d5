"""Runs at their limits: low precision, models that read little, names that are taken, a run that was cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForMaskedLM

from chinese_modernbert.tokenization.loading import load_tokenizer
from chinese_modernbert.trainers.spelling.arguments import SpellingArguments
from chinese_modernbert.trainers.spelling.loading import build_corrector
from chinese_modernbert.trainers.spelling.pairs import read_run_pairs
from reference.spelling_pairs import write_pairs
from reference.spelling_runs import result, train


def test_a_run_in_bfloat16_is_scored_and_fitted_as_the_model_that_is_saved(
    saved_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chinese_modernbert.trainers.spelling import run

    scored: list[Any] = []
    timed = run.timed_corrections

    def kept(model: Any, tokenizer: Any, texts: Any, **more: Any) -> Any:
        scored.append((texts, model.find_edits(texts, tokenizer)))
        return timed(model, tokenizer, texts, **more)

    monkeypatch.setattr(run, "timed_corrections", kept)
    data = write_pairs(tmp_path / "train.jsonl", 40)
    assert train(saved_checkpoint, tmp_path / "out", data, "--bf16", "--max_steps", "6") == 0
    folder, ((texts, edits),) = tmp_path / "out" / "models" / "seed1", scored
    model = AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=False)
    again = model.find_edits(texts, load_tokenizer(folder))
    assert [[edit.probability for edit in own] for own in edits] == [
        pytest.approx([edit.probability for edit in own], rel=1e-5) for own in again
    ]
    # The curve is that of these probabilities: every threshold stands between two of them.
    found = result(tmp_path / "out")
    shares = sorted({edit.probability for own in edits for edit in own}, reverse=True)
    between = [1.0, *((a + b) / 2 for a, b in zip(shares, [*shares[1:], 0.0], strict=True))]
    assert [point["threshold"] for point in found["curve"]] == pytest.approx(between, rel=1e-5)
    assert found["dev"]["threshold"] == model.settings.threshold


def test_what_is_overwritten_is_no_record_of_a_model_that_was_not_finished(
    saved_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chinese_modernbert.trainers.spelling import run

    data = write_pairs(tmp_path / "train.jsonl", 20)
    assert train(saved_checkpoint, tmp_path / "out", data, "--max_steps", "1") == 0

    def interrupted(*_: Any, **__: Any) -> None:
        raise ValueError("cut off")

    monkeypatch.setattr(run, "save_tokenizer", interrupted)
    assert train(saved_checkpoint, tmp_path / "out", data, "--max_steps", "1", "--overwrite") == 2
    assert not (tmp_path / "out" / "runs" / "seed1.json").exists()


def test_a_test_of_the_name_of_dev_is_refused(tmp_path: Path) -> None:
    data, test = write_pairs(tmp_path / "train.jsonl", 20), write_pairs(tmp_path / "dev.jsonl", 4, start=50)
    with pytest.raises(ValueError, match="a name for each that is no other's and not 'dev'"):
        read_run_pairs(SpellingArguments(model="unread", train=[data], test=[test]))


def test_no_sentence_is_longer_than_what_the_model_reads(saved_checkpoint: Path) -> None:
    for arm, room in (("tagging", 126), ("relm", 62)):  # of 128 tokens
        given: Any = {"model": str(saved_checkpoint), "train": ["a"], "arm": arm, "use_cpu": True}
        for longest in (20, 1_000):
            model = build_corrector(SpellingArguments(**given, longest_sentence=longest))
            assert model.settings.longest_sentence == min(longest, room)


def test_a_run_that_mends_nothing_says_so(saved_checkpoint: Path, tmp_path: Path, caplog: Any) -> None:
    data = write_pairs(tmp_path / "train.jsonl", 20)
    words = ["--max_steps", "1", "--false_positive_rate", "0"]
    assert train(saved_checkpoint, tmp_path / "out", data, *words) == 0
    assert result(tmp_path / "out")["dev"]["f1"] == 0
    assert "seed 1 corrects nothing" in caplog.text

"""`noise` changes the texts of labelled rows alone, and scores a model before and after as a stock pipeline does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import pipeline

from chinese_modernbert.cli import main
from chinese_modernbert.evaluation.clue.rows import Row
from chinese_modernbert.evaluation.spelling import SpellingNoise, read_confusion
from chinese_modernbert.trainers.clue.noise import NoiseArguments, noisy_row
from reference.fine_tuned import fine_tuned
from reference.tiny_checkpoint import write_tiny_checkpoint

TEXTS = ["北京会议", "散步，天气很好 A1", "读书", "上海", "他喜欢公园"] * 6
LABELS = ("好", "坏")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_checkpoint(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def confusion(tmp_path: Path) -> str:
    pairs = zip("北会散天很读上他公", "海议步气好书京喜园", strict=True)
    (tmp_path / "sound.txt").write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")
    return str(tmp_path / "sound.txt")


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> str:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(folder / "rows.jsonl")


def noisy_rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "noisy.jsonl").read_text(encoding="utf-8").split("\n") if line]


def test_texts_alone_change_and_keep_their_length(confusion: str, tmp_path: Path) -> None:
    rows = [{"id": n, "text": text, "title": text, "label": LABELS[n % 2]} for n, text in enumerate(TEXTS)]
    words = ["noise", write_rows(tmp_path, rows), "--confusion", confusion, "--rate", "0.5"]
    assert main([*words, "--output_dir", str(tmp_path / "one")]) == 0
    found = noisy_rows(tmp_path / "one")
    assert [{**row, "text": ""} for row in found] == [{**row, "text": ""} for row in rows]
    allowed = read_confusion(confusion)
    pairs = [pair for a, b in zip(rows, found, strict=True) for pair in zip(a["text"], b["text"], strict=True)]
    assert all(allowed.allows(*pair) for pair in pairs) and any(a != b for a, b in pairs)
    # The order of the rows changes no error; the seed does.
    again = write_rows(tmp_path, rows[::-1])
    assert main(["noise", again, *words[2:], "--output_dir", str(tmp_path / "two")]) == 0
    assert noisy_rows(tmp_path / "two") == found[::-1]
    assert main([*words, "--output_dir", str(tmp_path / "three"), "--seed", "1"]) == 0
    assert noisy_rows(tmp_path / "three") != noisy_rows(tmp_path / "two")
    assert main([*words, "--output_dir", str(tmp_path / "one")]) == 2  # it is not replaced unasked


def test_tokens_keep_their_lengths(confusion: str) -> None:
    noise = SpellingNoise([read_confusion(confusion)], [1.0], 1.0)
    row = noisy_row(Row("a:1", {"tokens": ["北京", "AB", "会"], "tags": ["B-X", "O", "O"]}), ("text",), noise)
    assert row.values == {"tokens": ["海上", "AB", "议"], "tags": ["B-X", "O", "O"]}
    with pytest.raises(ValueError, match="a:2: the row has no field 'text'"):
        noisy_row(Row("a:2", {"title": "北京"}), ("text",), noise)


def test_scores_are_those_of_a_pipeline_on_both_files(checkpoint: str, confusion: str, tmp_path: Path) -> None:
    model = fine_tuned(checkpoint, tmp_path / "model", "classification", LABELS)
    served = pipeline("text-classification", model, trust_remote_code=True)
    # Labels are the model's own answers for two rows of three, so that it is right there.
    answers = [one["label"] for one in served(TEXTS)]
    gold = [one if n % 3 else LABELS[one == LABELS[0]] for n, one in enumerate(answers)]
    data = write_rows(tmp_path, [{"text": text, "label": label} for text, label in zip(TEXTS, gold, strict=True)])
    words = ["--confusion", confusion, "--rate", "0.6", "--output_dir", str(tmp_path / "out"), "--use_cpu"]
    assert main(["noise", data, "--model", model, *words]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    noisy = [row["text"] for row in noisy_rows(tmp_path / "out")]
    for name, texts in (("clean", TEXTS), ("noisy", noisy)):
        found = [one["label"] for one in served(texts)]
        right = np.mean([a == b for a, b in zip(found, gold, strict=True)])
        assert report["scores"][name]["accuracy"] == pytest.approx(100 * right)
    lost = report["scores"]["noisy"]["accuracy"] - report["scores"]["clean"]["accuracy"]
    assert report["difference"]["difference"] == pytest.approx(lost)
    assert report["difference"]["low"] <= lost <= report["difference"]["high"]
    assert report["facts"]["rows with errors"] == sum(a != b for a, b in zip(TEXTS, noisy, strict=True))
    changed = sum(a["label"] != b["label"] for a, b in zip(served(TEXTS), served(noisy), strict=True))
    assert report["facts"]["answers that changed"] == changed
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert f"Noisy minus clean, accuracy: {lost:+.2f}" in text


def test_entities_are_scored_where_they_stand(checkpoint: str, confusion: str, tmp_path: Path) -> None:
    model = fine_tuned(checkpoint, tmp_path / "model", "entities", ("地",))
    rows = [
        {"text": "北京会议", "label": {"地": {"北京": [[0, 1]]}}},
        {"text": "在上海", "label": {"地": {"上海": [[1, 2]]}}},
    ]
    words = ["--confusion", confusion, "--rate", "1", "--output_dir", str(tmp_path / "out"), "--use_cpu"]
    assert main(["noise", write_rows(tmp_path, rows), "--model", model, *words]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["difference"]["metric"] == "f1" and report["facts"]["rows with errors"] == 2
    labels = [row["label"] for row in noisy_rows(tmp_path / "out")]
    assert labels == [{"地": {"海上": [[0, 1]]}}, {"地": {"京北": [[1, 2]]}}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ""}, "no data is given"),
        ({"confusion": []}, "no confusion is given"),
        ({"bf16": True}, "bf16 is read with a model alone"),
        ({"batch_size": 8}, "batch_size is read with a model alone"),
    ],
)
def test_options_that_do_not_act_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NoiseArguments(**{"data": "rows.jsonl", "confusion": ["a.txt"], **changes})


ODD = ["", "北京，臺灣", "😀\U0001f468\u200d\U0001f469北会", "ＡＢＣ北　京ｱ12", "\U00020bb7北e\u0301", "。！"]


def test_odd_texts_and_a_very_long_one_keep_their_length(confusion: str, tmp_path: Path) -> None:
    texts = [*ODD, "北京会议" * 25_000]
    words = [write_rows(tmp_path, [{"text": text, "label": "好"} for text in texts]), "--confusion", confusion]
    assert main(["noise", *words, "--rate", "1", "--output_dir", str(tmp_path / "out")]) == 0
    known = read_confusion(confusion).table
    for text, row in zip(texts, noisy_rows(tmp_path / "out"), strict=True):
        assert len(row["text"]) == len(text)
        for before, after in zip(text, row["text"], strict=True):
            assert after in known.get(before, (before,))


def test_the_report_of_other_rows_goes_with_them(checkpoint: str, confusion: str, tmp_path: Path) -> None:
    model = fine_tuned(checkpoint, tmp_path / "model", "classification", LABELS)
    rows = write_rows(tmp_path, [{"text": text, "label": LABELS[n % 2]} for n, text in enumerate(TEXTS[:4])])
    words = ["noise", rows, "--confusion", confusion, "--output_dir", str(tmp_path / "out"), "--overwrite"]
    assert main([*words, "--model", model, "--use_cpu"]) == 0
    assert (tmp_path / "out" / "report.md").is_file() and (tmp_path / "out" / "report.json").is_file()
    assert main([*words, "--rate", "1"]) == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["noisy.jsonl"]


def test_a_broken_confusion_file_or_row_is_one_line_and_nothing_is_written(
    confusion: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.txt").write_text("北\t海\n京海\n", encoding="utf-8")
    (tmp_path / "latin.txt").write_text("a\tb\n", encoding="utf-8")
    good = write_rows(tmp_path, [{"text": "北京"}])
    (tmp_path / "null.jsonl").write_text('{"text": "北京"}\n{"text": null}\n', encoding="utf-8")
    for data, sets, message in (
        (good, "broken.txt", "broken.txt:2 is '京海'"),
        (good, "latin.txt", "confusion set 1 names no two Han characters"),
        (good, "none.txt", "no confusion set at"),
        (str(tmp_path / "null.jsonl"), "sound.txt", "null.jsonl:2: field 'text' is NoneType"),
    ):
        words = ["--confusion", str(tmp_path / sets), "--output_dir", str(tmp_path / "out")]
        assert main(["noise", data, *words]) == 2
        assert message in (error := capsys.readouterr().err) and "Traceback" not in error
        assert not (tmp_path / "out").exists()


def test_rows_without_labels_are_refused(
    checkpoint: str, confusion: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fine_tuned(checkpoint, tmp_path / "model", "classification", LABELS)
    words = ["--confusion", confusion, "--output_dir", str(tmp_path / "out"), "--use_cpu"]
    assert main(["noise", write_rows(tmp_path, [{"text": "北京"}]), "--model", model, *words]) == 2
    assert "label" in capsys.readouterr().err

"""Texts in, rows out: what the commands `fill`, `augment` and `rewrite` read, refuse and leave as it was."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert.cli import main
from chinese_modernbert.evaluation.language_modeling.fill_command import FillArguments
from chinese_modernbert.evaluation.texts_command import read_texts

# Traditional and mixed script, emoji of several code points, both widths, supplementary planes, marks alone, nothing.
ODD = [
    "臺灣與香港的天氣，今天天气",
    "😀\U0001f468\u200d\U0001f469\u200d\U0001f467今天天气",
    "ＡＢＣ　天气１２３ｱｲｳABC 123",
    "\U00020bb7野家的天气\U0002a6a5",
    "e\u0301天气\ufe0f",
    "。。。！！？",
    "no Chinese",
    "天气",
    "[MASK]天气[SEP]",
]


def command(name: str, checkpoint: Path, folder: Path, *words: str) -> list[str]:
    """Return the words of a command on texts, in which 天气 is the blank, the listed word, or one to be changed."""
    (folder / "listed.txt").write_text("天气\n", encoding="utf-8")
    own = {
        "fill": ["--blank", "天气", "--top", "1"],
        "augment": ["--share", "1", "--segmenter", "none"],
        "rewrite": ["--lexicon", str(folder / "listed.txt")],
    }
    output = ["--output_file", str(folder / "out.jsonl"), "--overwrite"]
    return [name, "--model", str(checkpoint), *own[name], *output, "--use_cpu", *words]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]


@pytest.mark.parametrize("name", ["fill", "augment", "rewrite"])
def test_odd_texts_keep_what_is_no_chinese_word(name: str, saved_checkpoint: Path, tmp_path: Path) -> None:
    texts = [text for text in ODD if name != "fill" or "天气" in text]
    file = tmp_path / "odd.jsonl.gz"
    rows = [{"id": number, "text": text} for number, text in enumerate(texts)]
    file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    assert main(command(name, saved_checkpoint, tmp_path, "--input_file", str(file))) == 0
    found = rows_of(tmp_path)
    assert [row["id"] for row in found] == list(range(len(texts)))
    for text, row in zip(texts, found, strict=True):
        if name == "fill":
            (filling,) = row["fillings"]
            changed = filling["text"]
            parts = text.split("天气")
            assert changed == parts[0] + "".join(w + p for w, p in zip(filling["words"], parts[1:], strict=True))
        else:
            changed = row["text"] if name == "augment" else row["rewritten"]
        # All but Chinese characters stands there as it stood, in its order.
        kept = [one for one in text if not "\u3400" <= one <= "\u9fff" and one < "\U00020000"]
        rest = iter(changed)
        assert all(one in rest for one in kept), (text, changed)
        if name == "rewrite":
            assert "天气" not in changed and (changed == text) == ("天气" not in text)


@pytest.mark.parametrize("name", ["fill", "augment", "rewrite"])
def test_what_cannot_be_read_is_named_and_nothing_is_written(
    name: str, saved_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    added = {"fill": "fillings", "augment": "original", "rewrite": "rewritten"}[name]
    good = json.dumps({"text": "天气很好"})
    for content, message in (
        ("", "texts.jsonl holds no text"),
        ("\n\n", "texts.jsonl holds no text"),
        (f"{good}\n{{", "texts.jsonl:2 is not valid JSON"),
        (f'{good}\n{{"texts": "天气"}}', "texts.jsonl:2 has no field 'text'; its fields are texts"),
        (f'{good}\n{{"text": 3}}', "texts.jsonl:2: field 'text' is int"),
        (f'{good}\n{{"text": "天气\\ud800"}}', "texts.jsonl:2 holds the lone surrogate"),
        (f'{good}\n{{"text": "天气", "{added}": 1}}', f"texts.jsonl:2 has a field '{added}', which the result would"),
    ):
        (tmp_path / "texts.jsonl").write_text(content, encoding="utf-8")
        assert main(command(name, saved_checkpoint, tmp_path, "--input_file", str(tmp_path / "texts.jsonl"))) == 2
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error, error
        assert not (tmp_path / "out.jsonl").exists()


def test_a_null_is_an_empty_text_and_blank_lines_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.JSONL").write_text('{"text": null, "id": 1}\n\n{"text": ""}\n', encoding="utf-8")
    (tmp_path / "a.jsonl.txt").write_bytes("\ufeff天\r\n \n\n{}\n".encode())

    def read(name: str) -> list[Any]:
        return [row for _, row in read_texts(FillArguments("m", input_file=str(tmp_path / name)))]

    assert read("a.JSONL") == [{"text": "", "id": 1}, {"text": ""}]
    assert read("a.jsonl.txt") == [{"text": "天"}, {"text": "{}"}]


def test_an_empty_text_has_no_blank_and_no_word_to_change(
    saved_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": null}\n', encoding="utf-8")
    given = ["--input_file", str(tmp_path / "a.jsonl")]
    assert main(command("fill", saved_checkpoint, tmp_path, *given)) == 2
    assert "a.jsonl:1, '', has no blank '天气'" in capsys.readouterr().err
    for name, expected in (("augment", {"original": ""}), ("rewrite", {"rewritten": ""})):
        assert main(command(name, saved_checkpoint, tmp_path, *given)) == 0
        assert rows_of(tmp_path) == [{"text": "", **expected}]


def test_an_output_that_promises_what_is_not_done_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("fill", "augment"):
        assert main([name, "--model", "m", "--texts", "a", "--output_file", str(tmp_path / "out.jsonl.GZ")]) == 2
        assert "out.jsonl.GZ is written uncompressed" in capsys.readouterr().err


@pytest.mark.parametrize(("tokens", "more_than"), [("1", 20), ("1..2", 40)])
def test_more_fillings_than_are_kept_by_default_come_where_they_are_asked_for(
    tokens: str, more_than: int, saved_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fill", "--model", str(saved_checkpoint), "--texts", "他{mask}书", "--top", "80", "--tokens", tokens]
    assert main([*words, "--form", "jsonl", "--use_cpu"]) == 0
    found = json.loads(capsys.readouterr().out)["fillings"]
    assert more_than < len({one["text"] for one in found}) == len(found) <= 80
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)

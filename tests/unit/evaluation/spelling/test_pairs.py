"""Pairs of spelling correction are read as they are, and unequal ones are named."""

import gzip
import json
import logging
from pathlib import Path

import pytest

from chinese_modernbert.evaluation.spelling import SpellingPair, read_spelling_pairs


def write(file: Path, rows: list[dict[str, object]]) -> Path:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
    return file


# Traditional and simplified, a supplementary plane, half-width and full-width, an emoji of several code points.
KEPT = [("他們座車", "他們坐車"), ("𠮷祥物", "吉祥物"), ("ＡＢ1２", "AB12"), ("👩\u200d🎓家", "👩\u200d🎓佳"), ("", "")]


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.jsonl.gz"])
def test_pairs_are_read_as_they_are(tmp_path: Path, name: str) -> None:
    rows: list[dict[str, object]] = [{"source": source, "target": target, "other": 1} for source, target in KEPT]
    assert read_spelling_pairs(write(tmp_path / name, rows)) == [SpellingPair(*pair) for pair in KEPT]


def test_a_pair_of_unequal_length_is_refused_with_its_line(tmp_path: Path) -> None:
    # An accented letter as one code point and as two: equal to the eye, not in length.
    for source, target in (("甲乙", "甲"), ("\u00e9", "e\u0301")):
        file = write(tmp_path / "a.jsonl", [{"source": "甲", "target": "甲"}, {"source": source, "target": target}])
        with pytest.raises(ValueError, match=rf"a\.jsonl:2 has {len(source)} characters as source and {len(target)}"):
            read_spelling_pairs(file)


def test_a_pair_of_unequal_length_is_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows: list[dict[str, object]] = [{"source": "甲" * n, "target": "甲甲"} for n in (2, 3, 2, 1)]
    with caplog.at_level(logging.WARNING):
        assert len(read_spelling_pairs(write(tmp_path / "a.jsonl", rows), unequal="skip")) == 2
    assert "skipped 2 pairs" in caplog.text and "a.jsonl:2" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"source": "甲"}\n', "a.jsonl:1 has no field 'target'"),
        ('{"source": "甲", "target": 1}\n', "a.jsonl:1: field 'target' is int"),
        ('{"source": "甲", "target": "甲"}\n{"sou', "a.jsonl:2 is not valid JSON"),
        ("\n", "holds no pair"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_spelling_pairs(tmp_path / "a.jsonl")


def test_a_missing_file_and_an_unknown_choice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no pairs at"):
        read_spelling_pairs(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="unequal='drop' is unknown"):
        read_spelling_pairs(tmp_path / "none.jsonl", "drop")  # pyright: ignore[reportArgumentType]

"""Confusion sets from both forms of files, read both ways, with broken lines named."""

import gzip
import json
import logging
from pathlib import Path

import pytest

from chinese_modernbert.evaluation.spelling import ConfusionSet, read_confusion
from chinese_modernbert.evaluation.spelling.confusion import confusion_name


def test_both_forms_hold_the_same_set(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"在": ["再", "载", "再"], "坐": ["座"]}), encoding="utf-8")
    (tmp_path / "b.json.gz").write_bytes(gzip.compress('{"在": "再载", "坐": "座"}'.encode()))
    (tmp_path / "c.txt").write_text("在\t再载\n\n坐\t座\r\n", encoding="utf-8")
    found = [read_confusion(tmp_path / name) for name in ("a.json", "b.json.gz", "c.txt")]
    assert found[0].table == {"在": ("再", "载"), "坐": ("座",), "再": ("在",), "载": ("在",), "座": ("坐",)}
    assert found[1] == found[2] == found[0]
    assert len({one.digest for one in found}) == 1


def test_a_set_is_read_both_ways_and_allows_what_is_there() -> None:
    confusion = ConfusionSet.of([("雪", "学"), ("雪", "穴")])
    assert confusion.alternatives("学") == ("雪",)
    assert confusion.allows("学", "雪") and confusion.allows("雪", "穴") and confusion.allows("海", "海")
    assert not confusion.allows("学", "穴") and not confusion.allows("海", "洋")
    assert confusion.alternatives("海") == ()


def test_several_files_are_one_set_of_one_digest_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "sound.txt").write_text("坐\t座\n", encoding="utf-8")
    (tmp_path / "shape.json").write_text('{"座": ["痤"], "己": ["已"]}', encoding="utf-8")
    files = [tmp_path / "sound.txt", tmp_path / "shape.json"]
    one, other = read_confusion(files), read_confusion(files[::-1])
    assert set(one.alternatives("座")) == {"坐", "痤"}
    assert one.digest == other.digest != read_confusion(files[0]).digest
    assert confusion_name(files[0]) == "sound"


def test_what_replaces_nothing_is_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "a.json"
    # Itself, nothing, two characters, a letter with a combining mark, a key of two characters; a supplementary plane.
    file.write_text(json.dumps({"己": ["己", "", "已经", "e\u0301", "已", "𠀋"], "自己": ["己"]}), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert read_confusion(file).alternatives("己") == ("已", "𠀋")
    assert "left out 5 entries" in caplog.text and "'己' -> '己'" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "在\t再\n坐座\n", r"a\.txt:2 is '坐座'"),
        ("a.txt", "在\t再\n坐\t\n", r"a\.txt:2 is"),
        ("a.txt", "在\t再\n坐\t座\t痤\n", r"a\.txt:2 is"),
        ("a.txt", "\n", "names no two characters"),
        ("a.txt", "自己\t己\n", "names no two characters"),
        ("a.json", '{"在": ["再"],\n "坐": ["座"', r"a\.json:2, column 11 is not valid JSON"),
        ("a.json", '["在"]', r"a\.json is a JSON list"),
        ("a.json", '{"在": {"再": 1}}', r"entry '在' is not a list of characters"),
        ("a.json", '{"在": [1]}', r"entry '在' is not a list of characters"),
        ("a.json", '{"在": 3}', r"entry '在' is not a list of characters"),
        ("a.json", '{"在": ["\\ud800"]}', r"entry '在' holds the lone surrogate"),
        ("a.json", '{"\\ud800": ["在"]}', r"lone surrogate"),
        ("a.json", "[" * 100_000, "nested too deep|not valid JSON"),
        ("a.json", "{}", "names no two characters"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as raised:
        read_confusion(tmp_path / name)
    str(raised.value).encode()  # whatever the file holds, the message can be printed


def test_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no confusion set was given"):
        read_confusion([])
    with pytest.raises(FileNotFoundError):
        read_confusion(tmp_path / "none.json")

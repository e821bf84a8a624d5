import json
import re
from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert.runtime.files import (
    make_folder,
    new_output_folder,
    read_record,
    require_shape,
    write_text_atomically,
)


def fill(path: Path, text: str, overwrite: bool = False) -> None:
    with new_output_folder(path, overwrite, marker="marker.json") as folder:
        (folder / "marker.json").write_text(text)


def test_the_folder_appears_only_when_the_block_ends_well(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "result"
    with new_output_folder(target, marker="marker.json") as folder:
        (folder / "marker.json").write_text("x")
        assert not target.exists()
    assert [path.name for path in target.parent.iterdir()] == ["result"]


def test_a_failure_leaves_nothing_behind_and_keeps_the_old_folder(tmp_path: Path) -> None:
    fill(tmp_path / "result", "old")
    with pytest.raises(KeyError), new_output_folder(tmp_path / "result", True, marker="marker.json") as folder:
        (folder / "marker.json").write_text("new")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
    assert (tmp_path / "result" / "marker.json").read_text() == "old"


def test_overwrite_replaces_our_own_folder_wholly(tmp_path: Path) -> None:
    fill(tmp_path / "result", "old")
    (tmp_path / "result" / "rest.txt").write_text("rest")
    fill(tmp_path / "result", "new", overwrite=True)
    assert [path.name for path in (tmp_path / "result").iterdir()] == ["marker.json"]
    assert (tmp_path / "result" / "marker.json").read_text() == "new"


def test_a_folder_of_someone_else_and_a_file_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("x")
    with pytest.raises(FileExistsError, match="holds no marker.json"):
        fill(tmp_path / "photos", "x", overwrite=True)
    with pytest.raises(FileExistsError, match="is not empty"):
        fill(tmp_path / "photos", "x")
    with pytest.raises(FileExistsError, match="is a file"):
        fill(tmp_path / "photos" / "one.jpg", "x", overwrite=True)
    assert (tmp_path / "photos" / "one.jpg").read_text() == "x"


def test_an_empty_folder_is_used_and_a_forgotten_marker_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "result").mkdir()
    fill(tmp_path / "result", "x")
    with pytest.raises(RuntimeError, match="made no m;"), new_output_folder(tmp_path / "other", marker="m"):
        pass
    assert not (tmp_path / "other").exists()


def test_text_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_text_atomically(tmp_path / "a.txt", "一\n二")
    assert (tmp_path / "a.txt").read_bytes() == "一\n二".encode()
    with pytest.raises(UnicodeEncodeError):
        write_text_atomically(tmp_path / "a.txt", "三\ud800")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "一\n二"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


SHAPE = {"name": str, "files": {...: {"bytes": int}}, "shards": [{"tokens": int}], "anything": object}
GOOD = {"name": "a", "files": {"x": {"bytes": 1}}, "shards": [{"tokens": 2}], "anything": None, "more": 3}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ([], "r.json is list, expected dict"),
        (None, "r.json is NoneType, expected dict"),
        ({"name": "a"}, "r.json has no field 'files'"),
        ({**GOOD, "name": 3}, "r.json, name is int, expected str"),
        ({**GOOD, "files": {"x": {"bytes": "1"}}}, "r.json, files, x, bytes is str, expected int"),
        ({**GOOD, "files": {"x": {"bytes": True}}}, "r.json, files, x, bytes is bool, expected int"),
        ({**GOOD, "shards": [{"tokens": 2}, {}]}, "r.json, shards, item 1 has no field 'tokens'"),
        ({**GOOD, "shards": {}}, "r.json, shards is dict, expected list"),
    ],
)
def test_the_first_difference_is_named_with_its_place(tmp_path: Path, changed: Any, message: str) -> None:
    require_shape(GOOD, SHAPE, "r.json")
    with pytest.raises(ValueError, match=f"{re.escape(message)}$"):
        require_shape(changed, SHAPE, "r.json")
    (tmp_path / "r.json").write_text(json.dumps(changed))
    with pytest.raises(ValueError, match=f"{re.escape(message)}; make it again"):
        read_record(tmp_path / "r.json", SHAPE, "make it again")


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, "\xff"])
def test_what_is_not_json_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "r.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"r.json is not JSON \(.*\); make it again"):
        read_record(tmp_path / "r.json", {}, "make it again")


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_what_it_names_is_written(tmp_path: Path, exists: bool) -> None:
    named, file = tmp_path / "disk" / "named", tmp_path / "disk" / "file.txt"
    if exists:
        named.mkdir(parents=True)
        file.write_text("old")
    (tmp_path / "link").symlink_to(named)
    (tmp_path / "link.txt").symlink_to(file)
    with new_output_folder(tmp_path / "link", marker="marker") as folder:
        (folder / "marker").touch()
    with new_output_folder(tmp_path / "link", True, marker="marker") as folder:
        (folder / "marker").write_text("new")
    write_text_atomically(tmp_path / "link.txt", "text")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "link.txt").is_symlink()
    assert ((named / "marker").read_text(), file.read_text()) == ("new", "text")
    assert sorted(path.name for path in named.parent.iterdir()) == ["file.txt", "named"]


def test_the_folder_that_a_link_names_is_made(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "named")
    make_folder(tmp_path / "link" / "deeper")
    make_folder(tmp_path / "link")
    write_text_atomically(tmp_path / "link" / "file", "text")
    assert (tmp_path / "disk" / "named" / "file").read_text() == "text"
    assert (tmp_path / "disk" / "named" / "deeper").is_dir()

from pathlib import Path

import pytest

from chinese_modernbert.runtime.files import new_output_folder, write_text_atomically


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

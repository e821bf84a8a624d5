"""Pictures are whole or not there, and the same bytes for the same figure."""

from pathlib import Path

import pytest

from chinese_modernbert.runtime.pictures import new_figure, save_picture_atomically


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        figure = new_figure(2, 1, "title")
        figure.subplots().plot([0, 1], [1, 0])
        save_picture_atomically(figure, tmp_path / "new" / name)
    assert (tmp_path / "new" / "a.png").read_bytes() == (tmp_path / "new" / "b.png").read_bytes()


def test_a_failed_save_leaves_the_old_picture_and_nothing_else(tmp_path: Path) -> None:
    class Broken:
        def savefig(self, path: Path, **options: object) -> None:
            path.write_bytes(b"half")
            raise OSError("disk full")

    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"):
        save_picture_atomically(Broken(), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"

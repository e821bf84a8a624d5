"""A reader runs a notebook from its first cell to its last, and it works; and what a notebook here may hold."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reference.notebook_cells import cells_of, with_names
from reference.page_blocks import ROOT, PageError, run_block

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
COUNT = 7
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
ABSOLUTE = re.compile(r"""["'\s=(](/[A-Za-z]|~/|[A-Z]:\\)""")


@pytest.fixture
def desk(page_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the notebooks in a copy of the repository whose shipped model is tiny and random."""
    shutil.copytree(ROOT / "examples" / "data", tmp_path / "examples" / "data")
    shutil.copytree(page_model / "my-model", tmp_path / "hub_release" / "models" / "mini")
    folder = tmp_path / "examples" / "notebooks"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("CHINESE_MODERNBERT_DATA", raising=False)
    return folder


def run_notebook(path: Path, folder: Path) -> dict[str, Any]:
    """Run all cells of a notebook and return its names."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in cells_of(path):
        run_block(with_names(block, namespace), namespace, folder)
    return namespace


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_of_a_notebook_runs(notebook: Path, desk: Path) -> None:
    run_notebook(notebook, desk)
    assert {path.name for path in desk.iterdir()} <= {"work"}, "a notebook writes to its folder work alone"


def test_there_are_as_many_notebooks_as_their_list_says() -> None:
    listed = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert len(NOTEBOOKS) == COUNT
    assert [path.name for path in NOTEBOOKS] == sorted(set(re.findall(r"\(notebooks/(\w+\.ipynb)\)", listed)))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_of_format_4_5_without_outputs_and_as_jupyter_writes_it(notebook: Path) -> None:
    text = notebook.read_text(encoding="utf-8")
    content = json.loads(text)
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert text == json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    assert set(content) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[\w-]{1,64}", one, re.ASCII) for one in ids)
    for cell in content["cells"]:
        wanted = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            wanted |= {"execution_count", "outputs"}
            assert (cell["execution_count"], cell["outputs"]) == (None, []), "clear all outputs before you commit"
        assert set(cell) == wanted and cell["cell_type"] in ("code", "markdown") and cell["metadata"] == {}


def texts_of(notebook: Path, kind: str) -> Iterator[str]:
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == kind:
            yield "".join(cell["source"])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_says_what_one_gets_what_is_measured_and_where_to_read_on(notebook: Path) -> None:
    first, *_, last = texts_of(notebook, "markdown")
    assert first.startswith("# ") and re.search(r"\b(minute|minutes)\b", first), "say what one gets, and how soon"
    assert last.startswith("## Read on\n")
    missing = [one for text in texts_of(notebook, "markdown") for one in LINK.findall(text) if "://" not in one]
    assert [one for one in missing if not (notebook.parent / one).exists()] == []


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_names_no_path_of_one_machine(notebook: Path) -> None:
    assert [text for text in texts_of(notebook, "code") if ABSOLUTE.search(text)] == []


def write_notebook(path: Path, *cells: tuple[str, str]) -> Path:
    path.write_text(json.dumps({"cells": [{"cell_type": kind, "source": [text]} for kind, text in cells]}), "utf-8")
    return path


BROKEN = {
    "python": ("counts + 1", NameError, "counts"),
    "an option": ("!chinese-modernbert mask --txet 北京", PageError, "cell 2.* ends with 2"),
    "a name": ("!chinese-modernbert verify {MISSING}", PageError, "cell 2.* gives {MISSING} a value"),
    "a brace": ("!chinese-modernbert fill --texts {}", PageError, "cell 2.* gives {} a value"),
    "a magic": ("%matplotlib inline", PageError, "cell 2 has a magic"),
    "both": ("count = 1\n!chinese-modernbert mask", PageError, "cell 2 mixes"),
    "a shell line": ("!ls", PageError, "cell 2.* 'ls' is not run"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_cell_is_found(kind: str, tmp_path: Path) -> None:
    code, error, message = BROKEN[kind]
    path = write_notebook(tmp_path / "broken.ipynb", ("markdown", "# A title"), ("code", code))
    with pytest.raises(error, match=message):
        run_notebook(path, tmp_path)


def test_cells_are_read_with_what_ends_the_text_above_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_notebook(
        tmp_path / "small.ipynb",
        ("code", "TEXT = '北京'"),
        ("markdown", "Look:\n<!-- test: mask --step 900 -->"),
        ("code", "!chinese-modernbert mask \\\n    --text {TEXT}"),
        ("markdown", "<!-- not run: it needs a GPU -->"),
        ("code", "!torchrun x"),
        ("code", "count = len(TEXT)"),
    )
    assert run_notebook(path, tmp_path)["count"] == 2
    assert "step 900 of 1000" in capsys.readouterr().out

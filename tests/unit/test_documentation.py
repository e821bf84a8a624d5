"""What the documents name exists: files, folders, tests, make targets and recipes."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md"])
FOLDERS = "|".join(
    sorted(path.name for path in ROOT.iterdir() if path.is_dir() and re.fullmatch(r"[a-z_]+", path.name))
)
# In backquotes or as the target of a link; what a command makes (outputs/, shards/, run/) is no folder of ours.
MENTION = re.compile(rf"(?:`|\]\((?:\.\./)*)((?:{FOLDERS})/[\w./-]*(?:::\w+)?)")
IGNORED = re.compile(r"^(outputs|build|dist)/")
BARE = re.compile(r"`(test_\w+)(\.py)?`")


def mentions(document: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(document.read_text(encoding="utf-8").split("\n"), 1):
        for match in MENTION.finditer(line):
            if not IGNORED.match(match[1]):
                yield number, match[1]


@functools.cache
def names_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_tests_that_a_document_names_exist(document: Path) -> None:
    missing = []
    for number, mention in mentions(document):
        path, _, name = mention.partition("::")
        file = ROOT / path.rstrip(".")
        if not file.exists() or (name and name not in names_in(file)):
            missing.append(f"{document.name}:{number} names {mention}")
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in target]
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_tests_that_a_document_names_without_a_folder_exist(document: Path) -> None:
    files = list((ROOT / "tests").rglob("test_*.py"))
    known = {file.name for file in files} | set().union(*map(names_in, files))
    assert {"".join(match) for match in BARE.findall(document.read_text(encoding="utf-8"))} <= known


def test_the_last_column_of_the_silent_failures_is_found() -> None:
    assert len(list(mentions(ROOT / "docs" / "why.md"))) > 60

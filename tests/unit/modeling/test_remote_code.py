"""What a folder on the Hub demands of the modeling files beyond running here."""

import ast
import re
from pathlib import Path

import pytest

from chinese_modernbert import modeling
from chinese_modernbert.modeling.configuration_chinese_modernbert import AUTO_MAP

FOLDER = Path(modeling.__file__).parent
SHIPPED = sorted(FOLDER.glob("*_chinese_modernbert.py"))
# Source: "What's New In Python 3.11" and 3.12.
NEW_IN_TYPING = {"Unpack", "Self", "Never", "LiteralString", "Required", "NotRequired", "TypeVarTuple", "assert_never"}
NEW_IN_TYPING |= {"assert_type", "dataclass_transform", "get_overloads", "override", "reveal_type"}
ENTRY_FILES = sorted({entry.split(".")[0] for entry in AUTO_MAP.values()})


def named_siblings(module: str) -> set[str]:
    """Return the siblings that a file imports, read from the text as Transformers reads it."""
    return set(re.findall(r"^\s*from\s+\.(\S+)\s+import", (FOLDER / f"{module}.py").read_text("utf-8"), re.MULTILINE))


def needed_siblings(module: str) -> set[str]:
    """Return the siblings that a file needs, its imports' imports included, without itself."""
    needed, waiting = set(), named_siblings(module)
    while waiting:
        needed |= waiting
        waiting = set().union(*map(named_siblings, waiting)) - needed
    return needed - {module}


@pytest.mark.parametrize("module", ENTRY_FILES)
def test_an_entry_file_names_every_sibling_it_needs_for_transformers_4_copies_no_more(module: str) -> None:
    assert named_siblings(module) == needed_siblings(module)


@pytest.mark.parametrize("module", ENTRY_FILES)
def test_an_entry_file_names_every_file_that_ships_so_that_each_is_saved_whatever_was_loaded(module: str) -> None:
    assert named_siblings(module) | {module} == {path.stem for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_file_that_ships_runs_on_python_3_10_as_transformers_does(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"), feature_version=(3, 10))
    guarded = {id(node) for block in ast.walk(tree) if isinstance(block, ast.Try) for node in ast.walk(block)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "typing" and id(node) not in guarded:
            assert not NEW_IN_TYPING & {alias.name for alias in node.names}

"""What a folder on the Hub demands of the modeling files beyond running here."""

import ast
import re
from pathlib import Path

import pytest

from chinese_modernbert import modeling
from chinese_modernbert.modeling.configuration_chinese_modernbert import AUTO_MAP, SPELLING_MAP

FOLDER = Path(modeling.__file__).parent
SHIPPED = sorted(FOLDER.glob("*_chinese_modernbert.py"))
# What the standard library has had since 3.11 or later, by module. Source: "What's New In Python 3.11", 3.12 and 3.13.
NEW_NAMES = {
    "typing": "Unpack Self Never LiteralString Required NotRequired TypeVarTuple assert_never assert_type "
    "dataclass_transform get_overloads override reveal_type ReadOnly TypeIs NoDefault get_protocol_members",
    "asyncio": "TaskGroup timeout Runner Barrier",
    "builtins": "ExceptionGroup BaseExceptionGroup PythonFinalizationError",
    "collections.abc": "Buffer",
    "contextlib": "chdir",
    "copy": "replace",
    "datetime": "UTC",
    "enum": "StrEnum ReprEnum EnumCheck FlagBoundary verify member nonmember global_enum",
    "hashlib": "file_digest",
    "inspect": "getmembers_static markcoroutinefunction",
    "itertools": "batched",
    "math": "cbrt exp2 sumprod fma",
    "operator": "call",
    "warnings": "deprecated",
}
NEW_MODULES = {"tomllib", "wsgiref.types", "dbm.sqlite3"}
ENTRY_FILES = sorted({entry.split(".")[0] for entry in (*AUTO_MAP.values(), *SPELLING_MAP.values())})


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


def newer_than_3_10(text: str) -> set[str]:
    """Return what a file's text takes from a standard library newer than 3.10; raises for newer syntax."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text, feature_version=(3, 10))):
        if isinstance(node, ast.ImportFrom) and not node.level:
            new = NEW_NAMES.get(str(node.module), "").split()
            found |= {f"{node.module}.{alias.name}" for alias in node.names if alias.name in new}
            found |= {str(node.module)} & NEW_MODULES
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & NEW_MODULES
        elif isinstance(node, ast.Attribute) and node.attr in NEW_NAMES.get(ast.unparse(node.value), "").split():
            found.add(ast.unparse(node))
        elif isinstance(node, ast.Name) and node.id in NEW_NAMES["builtins"].split():
            found.add(node.id)
    return found


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_file_that_ships_runs_on_python_3_10_as_transformers_does(path: Path) -> None:
    assert not newer_than_3_10(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "line",
    [
        "from typing import Any, Unpack",
        "import tomllib",
        "import enum\nclass A(enum.StrEnum): pass",
        "raise ExceptionGroup('a', [])",
        "from datetime import UTC",
    ],
)
def test_what_python_3_10_lacks_would_be_seen(line: str) -> None:
    assert newer_than_3_10(line)


@pytest.mark.parametrize("line", ["try: pass\nexcept* ValueError: pass", "type A = int", "def f[T](a: T): pass"])
def test_syntax_that_python_3_10_lacks_would_be_seen(line: str) -> None:
    with pytest.raises(SyntaxError):
        newer_than_3_10(line)

"""The direction of imports: rooms know those below them alone, no module is part of a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Each folder, and what it may import of ours. `cli` and its table `commands` see all of them.
ALLOWED = {
    "runtime": set(),
    "modeling": set(),
    "tokenization": {"runtime"},
    "evaluation": {"runtime", "modeling", "tokenization"},
    "trainers": {"runtime", "modeling", "tokenization", "evaluation"},
    "hub_release": {"runtime", "modeling", "tokenization", "evaluation", "trainers"},
    "demo": {"runtime", "modeling", "tokenization", "evaluation", "trainers", "hub_release"},
}
# The rooms of `trainers`, and which of their neighbours each may import.
ROOMS = {
    "data": set(),
    "masking": {"data"},
    "pretraining": {"data", "masking"},
    "clue": {"masking"},  # its masked fine-tuning is a masking preset
    "contrastive": set(),
    "spelling": set(),
}
# Single files of `trainers` that every room may import.
SHARED = {"after_step", "leakage", "lora", "soundness", "zero_mean_residual"}
MAXIMUM_FILES = 20


def library_files() -> list[Path]:
    return sorted(file for folder in ALLOWED for file in (ROOT / folder).rglob("*.py"))


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file) for file in library_files()} | {""}


def imports_of(file: Path) -> Iterator[str]:
    """Yield the modules of ours that a file imports, in functions too.

    A block for type checkers never runs, but in an `__init__`, where it says what is imported on demand.
    """
    package = file.relative_to(ROOT).parts[:-1]
    tree = ast.parse(file.read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    typing_only = {id(node) for block in blocks if file.stem != "__init__" for node in ast.walk(block)}
    for node in (node for node in ast.walk(tree) if id(node) not in typing_only):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = package[: len(package) - node.level + 1]
            target = ".".join((*above, *([node.module] if node.module else [])))
            for alias in node.names:
                full = f"{target}.{alias.name}".lstrip(".")
                yield full if full in MODULES else target


@pytest.mark.parametrize("file", library_files(), ids=module_name)
def test_a_folder_imports_only_those_below_it(file: Path) -> None:
    own = file.relative_to(ROOT).parts[0]
    for target in imports_of(file):
        top = target.partition(".")[0]
        assert not top or top == own or top in ALLOWED[own], f"{module_name(file)} imports {target}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_of_the_trainers_imports_only_the_rooms_below_it(room: str) -> None:
    for file in sorted((ROOT / "trainers" / room).rglob("*.py")):
        for target in imports_of(file):
            parts = target.split(".")
            if parts[0] == "trainers":
                assert parts[1] in {room} | ROOMS[room] | SHARED, f"{module_name(file)} imports {target}"


def test_no_module_is_part_of_a_circle() -> None:
    graph = {module_name(file): set(imports_of(file)) - {module_name(file), ""} for file in library_files()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circle of imports: {' -> '.join(error.args[1])}")


def test_a_file_of_modeling_imports_only_its_siblings() -> None:
    for file in sorted((ROOT / "modeling").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, f"{file.name} imports from above its folder"
                assert node.level or not str(node.module).startswith("chinese_modernbert"), f"{file.name} names us"


def test_every_folder_of_unit_tests_has_a_room_of_its_name() -> None:
    tests = ROOT / "tests" / "unit"
    for folder in {file.parent.relative_to(tests) for file in tests.rglob("test_*.py")}:
        assert (ROOT / folder).is_dir(), f"tests/unit/{folder} tests no room; name it as the room that it tests"


def test_no_folder_is_crowded() -> None:
    for folder in {file.parent for file in library_files()}:
        count = len(list(folder.glob("*.py")))
        assert count <= MAXIMUM_FILES, f"{folder.relative_to(ROOT)} holds {count} files; give an idea a room of its own"

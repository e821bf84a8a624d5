"""What a folder on the Hub demands of the modeling files beyond running here."""

import re
from pathlib import Path

import pytest

from chinese_modernbert import modeling
from chinese_modernbert.modeling.configuration_chinese_modernbert import AUTO_MAP

FOLDER = Path(modeling.__file__).parent
ENTRY_FILES = sorted({entry.split(".")[0] for entry in AUTO_MAP.values()})


def named_siblings(module: str) -> set[str]:
    """Return the siblings that a file imports, read from the text as Transformers reads it."""
    return set(re.findall(r"^\s*from\s+\.(\S+)\s+import", (FOLDER / f"{module}.py").read_text("utf-8"), re.MULTILINE))


def needed_siblings(module: str) -> set[str]:
    """Return the siblings that a file needs, its imports' imports included."""
    needed, waiting = set(), named_siblings(module)
    while waiting:
        needed |= waiting
        waiting = set().union(*map(named_siblings, waiting)) - needed
    return needed


@pytest.mark.parametrize("module", ENTRY_FILES)
def test_an_entry_file_names_every_sibling_it_needs_for_transformers_4_copies_no_more(module: str) -> None:
    assert named_siblings(module) == needed_siblings(module)


def test_every_file_that_ships_is_reached_from_an_entry_file() -> None:
    shipped = {path.stem for path in FOLDER.glob("*_chinese_modernbert.py")}
    assert shipped == {*ENTRY_FILES}.union(*map(needed_siblings, ENTRY_FILES))

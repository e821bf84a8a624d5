"""What becomes of each field of `transformers.TrainingArguments` in our training commands: training_arguments.yaml.

A field of a newer Transformers that is in no table is refused too (`library_options`).
"""

import dataclasses
from pathlib import Path

import yaml

from .options import LibraryOptions

TABLES = Path(__file__).with_suffix(".yaml")


def library_options(command: str, kind: type, library: type) -> LibraryOptions:
    """Return the table of a command: the rows that all commands share and the command's, which win.

    Args:
        command: its name in the file
        kind: the command's dataclass
        library: the dataclass that it extends; a field that no table knows and `kind` does not declare is refused
    """
    acting, never = _rows_of(command)
    fields = {field.name for field in dataclasses.fields(library)}
    acts = {name: where for name, where in acting.items() if name in fields}
    own = {field.name for field in dataclasses.fields(kind) if "group" in field.metadata}
    unknown = fields - acts.keys() - never.keys() - own
    return LibraryOptions(acts, {**never, **dict.fromkeys(unknown, "no command here reads it; leave it out")})


def acting_fields(command: str) -> set[str]:
    """Return the fields of the library, of any of its versions, that a command takes."""
    return set(_rows_of(command)[0])


def _rows_of(command: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return what acts and what is refused by a command: the rows that all share, and its own, which win."""
    tables = yaml.safe_load(TABLES.read_text(encoding="utf-8"))
    shared, own_rows = tables["every_command"], tables[command]
    acting, refused = own_rows["acting"], own_rows["refused"]
    never = {**{name: instead for name, instead in shared["refused"].items() if name not in acting}, **refused}
    return {name: where for name, where in {**shared["acting"], **acting}.items() if name not in never}, never

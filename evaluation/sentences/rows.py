"""Rows of sentence sets: what they become, how files are opened, and fields that are checked where they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...runtime.text_files import read_lines
from ...tokenization.normalization import check_encodable
from ..clue.forms import Layout, read_rows


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Two texts and their similarity from 0 to 1."""

    first: str
    second: str
    score: float


def scored_columns(pairs: Sequence[ScoredPair]) -> dict[str, list[Any]]:
    """Return pairs as the columns that sentence-transformers and mteb read."""
    return {
        "sentence1": [pair.first for pair in pairs],
        "sentence2": [pair.second for pair in pairs],
        "score": [pair.score for pair in pairs],
    }


@dataclass(frozen=True, slots=True)
class Triplet:
    """A text, one that means the same (or answers it), and texts that do not."""

    anchor: str
    positive: str
    negatives: tuple[str, ...] = ()


@dataclass
class ReadRows:
    """Rows of a set as they were read.

    Attributes:
        pairs: pairs with a score; empty where the kind has none
        triplets: triplets
        passages: further texts to search among, which answer nothing
        dropped: reason -> rows that were left out
    """

    pairs: list[ScoredPair] = field(default_factory=list)
    triplets: list[Triplet] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    passages: list[str] = field(default_factory=list)

    def drop(self, reason: str) -> None:
        """Count a row that is left out."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1


Rows = Iterator[tuple[str, dict[str, Any]]]


def open_rows(path: Path) -> Rows:
    """Yield (`file:line`, row) of JSON lines, or of a table whose first line names the columns; see `read_rows`."""
    return ((row.location, row.values) for row in read_rows(path, Layout()))


def read_cells(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield (`file:line`, cells) of every line that is not blank, cut at tabs; quotes have no meaning."""
    for number, line in read_lines(path):
        if line.strip():
            yield f"{path}:{number}", line.split("\t")


def checked_text(row: Mapping[str, Any], name: str, location: str) -> str:
    """Return a field's text, checked."""
    value = row.get(name)
    if not isinstance(value, str):
        given = f"is {type(value).__name__}" if name in row else f"is missing (fields: {', '.join(row)})"
        raise ValueError(f"{location}: field '{name}' {given}, expected text")
    if not value.strip():
        raise ValueError(f"{location}: field '{name}' is empty, expected text")
    check_encodable(value, location)
    return value


def checked_texts(row: Mapping[str, Any], name: str, location: str) -> tuple[str, ...]:
    """Return a field that holds one text or a list of them."""
    value = row.get(name)
    if not isinstance(value, list):
        return (checked_text(row, name, location),)
    return tuple(checked_text({name: one}, name, location) for one in value)


def checked_number(row: Mapping[str, Any], name: str, location: str, highest: float) -> float:
    """Return a field's number within 0 and `highest`."""
    try:
        value = float(row[name])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{location}: field '{name}' is {row.get(name)!r}, expected a number") from None
    if not 0 <= value <= highest:
        raise ValueError(f"{location}: {name}={value:g} is outside 0 to {highest:g}")
    return value

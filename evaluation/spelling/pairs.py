"""Pairs of spelling correction: a sentence as it was written, and as it should be, character by character."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal, NamedTuple

from ...tokenization.documents import checked_field, read_json_rows

logger = logging.getLogger(__name__)

FIELDS = ("source", "target")


class SpellingPair(NamedTuple):
    """A sentence as written (`source`) and corrected (`target`), of as many code points."""

    source: str
    target: str


def read_spelling_pairs(path: str | Path, unequal: Literal["refuse", "skip"] = "refuse") -> list[SpellingPair]:
    """Read pairs from JSON lines (plain or compressed) with the fields `source` and `target`.

    Lengths are counted in code points, as Python does: a character of a supplementary plane is one, a letter with a
    combining mark or an emoji of several parts is more. The texts are kept as they are: full-width and half-width forms
    differ, and positions are those of the given text.

    Args:
        path: the file
        unequal: what to do with a pair of different lengths: "refuse" it, or "skip" it and count it in the log

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With file and line, for a missing field or a pair of different lengths; if no pair is there, or
            `unequal` is unknown.
    """
    if unequal not in ("refuse", "skip"):
        raise ValueError(f"unequal={unequal!r} is unknown; use 'refuse' or 'skip'")
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no pairs at {file}; give JSON lines with {' and '.join(FIELDS)}")
    pairs: list[SpellingPair] = []
    skipped: list[str] = []
    for location, row in read_json_rows(file):
        pair = SpellingPair(*(checked_field(row, field, location) for field in FIELDS))
        if len(pair.source) == len(pair.target):
            pairs.append(pair)
            continue
        skipped.append(f"{location} has {len(pair.source)} characters as source and {len(pair.target)} as target")
        if unequal == "refuse":
            raise ValueError(f"{skipped[0]}; only equal lengths can be aligned, mend the line or skip unequal pairs")
    if skipped:
        logger.warning("skipped %d pairs of unequal length: %s", len(skipped), skipped[0])
    if not pairs:
        raise ValueError(f"{file} holds no pair; give JSON lines with {' and '.join(FIELDS)}")
    return pairs

"""Confusion sets: which characters are written for which others, by sound or by shape."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...runtime.text_files import COMPRESSIONS, read_lines, read_text
from ...tokenization.normalization import check_encodable
from ...tokenization.pre_tokenization import HAN

logger = logging.getLogger(__name__)

FORMS = "a JSON object of lists, or lines of a character, a tab and its characters"


@dataclass(frozen=True)
class ConfusionSet:
    """Characters that are taken for one another.

    The relation is read both ways: published lists name 学 under 雪 and often not 雪 under 学, and who writes one for
    the other may as well do the reverse.

    Attributes:
        table: character -> the characters that are taken for it or it for them, those listed under it first; every
            one is a single code point
    """

    table: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, listed: Iterable[tuple[str, str]]) -> ConfusionSet:
        """Make a set of (character, other character), each of one code point, read both ways."""
        listed = list(listed)
        table: dict[str, dict[str, None]] = {}
        for first, second in (*listed, *((second, first) for first, second in listed)):
            if first != second:
                table.setdefault(first, {})[second] = None
        return cls({character: tuple(others) for character, others in table.items()})

    def alternatives(self, character: str) -> tuple[str, ...]:
        """Return the characters that are confused with `character`; none where it is not known."""
        return self.table.get(character, ())

    def allows(self, source: str, candidate: str) -> bool:
        """Return whether `candidate` may stand where `source` was written: it is the same, or confused with it."""
        return source == candidate or candidate in self.table.get(source, ())

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def han(self) -> dict[str, tuple[str, ...]]:
        """The part of `table` that is Han characters on both sides; what noise is made of."""
        is_han = re.compile(f"[{HAN}]").match
        chosen = {
            character: tuple(filter(is_han, others)) for character, others in self.table.items() if is_han(character)
        }
        return {character: others for character, others in chosen.items() if others}

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that name the relation, whatever files and whatever order it came from."""
        pairs = sorted(first + second for first, others in self.table.items() for second in others)
        return hashlib.sha256("\n".join(pairs).encode()).hexdigest()[:16]


def read_confusion(paths: str | Path | Sequence[str | Path]) -> ConfusionSet:
    """Read confusion sets as one.

    A file whose name ends in `.json` is an object `{character: [characters]}` (or a text in place of a list), any other
    holds a character, a tab and the characters confused with it on each line; either may be compressed. An entry that
    can replace nothing is left out and counted in the log: a character under itself, an empty one, or several code
    points (a letter with a combining mark, an emoji sequence), for a text must keep its length.

    Args:
        paths: one file or several

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With file and line, for a line or an entry of another form; if no file is given, or nothing is left
            of one.
    """
    files = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if not files:
        raise ValueError(f"no confusion set was given; name at least one file of {FORMS}")
    listed: list[tuple[str, str]] = []
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"no confusion set at {file}; give a file of {FORMS}")
        listed += _usable(file, _read_json(file) if _is_json(file) else _read_table(file))
    return ConfusionSet.of(listed)


def confusion_name(path: str | Path) -> str:
    """Return the name of a file without its suffixes, which names its kind of confusion in reports."""
    return Path(path).name.partition(".")[0]


def _is_json(file: Path) -> bool:
    name = file.name.lower()
    return any(name.endswith(f".json{compression}") for compression in ("", *COMPRESSIONS))


def _usable(file: Path, entries: Iterator[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Return the entries (location, character, other) that can replace something, and log what is left out."""
    kept, n_left_out, first = [], 0, ""
    for location, character, other in entries:
        if len(character) == len(other) == 1 and character != other:
            kept.append((character, other))
        else:
            n_left_out += 1
            first = first or f"{character!r} -> {other!r} at {location}"
    if not kept:
        raise ValueError(f"{file} names no two characters that are confused; write {FORMS}")
    if n_left_out:
        logger.warning("left out %d entries that replace nothing, the first is %s", n_left_out, first)
    return kept


def _read_table(file: Path) -> Iterator[tuple[str, str, str]]:
    for number, line in read_lines(file):
        if not line.strip():
            continue
        character, tab, others = line.partition("\t")
        if not tab or not character.strip() or not others.strip() or "\t" in others:
            raise ValueError(
                f"{file}:{number} is {line[:40]!r}; write a character, one tab, the characters it is taken for"
            )
        for other in others:
            if not other.isspace():
                yield f"{file}:{number}", character.strip(), other


def _read_json(file: Path) -> Iterator[tuple[str, str, str]]:
    try:
        rows = json.loads(read_text(file), object_pairs_hook=list)  # a key may come twice
    except json.JSONDecodeError as error:
        where = f"{file}:{error.lineno}, column {error.colno}"
        raise ValueError(f"{where} is not valid JSON ({error.msg}); write {FORMS}") from error
    except RecursionError as error:
        raise ValueError(f"{file} is nested too deep; write {FORMS}") from error
    if not isinstance(rows, list) or not all(isinstance(row, tuple) for row in rows):
        raise ValueError(f"{file} is a JSON {type(rows).__name__}; write {FORMS}")
    for character, others in rows:
        location = f"{file}, entry {character!r}"
        if not isinstance(others, str | list) or not all(isinstance(other, str) for other in others):
            raise ValueError(f"{location} is not a list of characters; write {FORMS}")
        for text in (character, *others):
            check_encodable(text, location)
        for other in others:
            yield location, character, other

"""From a file of one's own to rows, one reader for each form, which the file's name tells.

| name ends in | a row is |
| --- | --- |
| `.jsonl` | a JSON object on a line |
| `.json` | an object of a JSON list, or of a line |
| `.csv` | a line of cells within or without quotes; the first line names the columns |
| `.tsv` | a line of cells between tabs, where quotes have no meaning; the first line names the columns |
| `.txt` | the same without a line of names: texts, then the label; of entities, tagged tokens |
| `.conll`, `.bio`, `.bmes`, `.iob2` | lines of a token and its tag, up to a blank line |

A suffix of `COMPRESSIONS` may follow.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ...runtime.text_files import COMPRESSIONS, longest_text, read_lines, read_text, too_long
from ...tokenization.documents import read_json_rows
from ...tokenization.normalization import check_encodable
from .labels import split_cell
from .rows import ParsedFile, Row

logger = logging.getLogger(__name__)

TAGGED_SUFFIXES = (".conll", ".bio", ".bmes", ".bioes", ".iob", ".iob2")
FORMS = (".jsonl", ".json", ".csv", ".tsv", ".txt", *TAGGED_SUFFIXES)
DOCUMENT_START = "-DOCSTART-"
TOKENS = "tokens"


@dataclass(frozen=True)
class Layout:
    """What a file does not say about itself.

    Attributes:
        columns: names of the columns of a table without a line of names; empty: the first line names them, but in
            `.txt`
        fields: columns of the texts
        label_field: column of the label
        is_tagged: rows hold entities, so `.txt` may hold tagged tokens
    """

    columns: tuple[str, ...] = ()
    fields: tuple[str, ...] = ("text",)
    label_field: str = "label"
    is_tagged: bool = False


def form_of(path: str | Path) -> str:
    """Return the suffix that tells the form of a file, without that of a compression.

    Raises:
        ValueError: If there is none that is known.
    """
    name = Path(path).name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    suffix = next((one for one in FORMS if name.endswith(one)), None)
    if suffix is None:
        raise ValueError(
            f"{path} has an unknown suffix; readable are {', '.join(FORMS)}, alone or with {' or '.join(COMPRESSIONS)}"
        )
    return suffix


def read_rows(path: str | Path, layout: Layout) -> Iterator[Row]:
    """Yield the rows of a file, each with its location.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With file and line, for what is not of the form, another number of cells, bytes that are not UTF-8;
            for an unknown suffix.
    """
    file, form = Path(path), form_of(path)
    if not file.is_file():
        raise FileNotFoundError(f"{path} does not exist; give a file of rows")
    if form == ".jsonl":
        return (Row(location, _encodable(values, location)) for location, values in read_json_rows(file))
    if form == ".json":
        return iter(_objects(parse_json(read_text(file), str(file))))
    if form == ".csv":
        return _read_csv(file, layout)
    if form in TAGGED_SUFFIXES or (form == ".txt" and layout.is_tagged and not _has_wide_cells(file)):
        return _read_tagged(file, layout)
    return _read_tabs(file, layout, has_names=form == ".tsv")


def _objects(parsed: ParsedFile) -> list[Row]:
    """Return the rows of a JSON file after a check that nothing in it is anything else."""
    items = parsed.content if isinstance(parsed.content, list) else [parsed.content]
    for number, item in enumerate(items if parsed.content is not None else (), start=1):
        if not isinstance(item, dict):
            kind = type(item).__name__
            raise ValueError(f"{parsed.location}: expected JSON objects, item {number} of the list is {kind}")
    return parsed.rows


def _read_csv(file: Path, layout: Layout) -> Iterator[Row]:
    """Read comma-separated values; a cell within quotes may hold line feeds, and a row is named by its last line."""
    csv.field_size_limit(longest_text())  # the module's own limit would refuse a text of 131,072 characters
    reader = csv.reader((f"{line}\n" for _, line in read_lines(file)), strict=True)
    cells = ((reader.line_num, row) for row in reader if row)
    try:
        yield from _named_rows(cells, file, layout, has_names=True)
    except csv.Error as error:
        raise ValueError(f"{file}:{reader.line_num}: not CSV ({error})") from None


def _read_tabs(file: Path, layout: Layout, has_names: bool) -> Iterator[Row]:
    cells = ((number, line.split("\t")) for number, line in read_lines(file) if line.strip())
    quoted, quoted_at = 0, 0
    for row in _named_rows(cells, file, layout, has_names):
        yield row
        if any(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in row.values.values()):
            quoted, quoted_at = quoted + 1, quoted_at or row.location
    if quoted:
        logger.warning(
            "%d rows of %s have a cell within quotes, the first is %s; quotes are text there, and a part of the form "
            "in .csv alone",
            quoted,
            file,
            quoted_at,
        )


def _named_rows(cells: Iterator[tuple[int, list[str]]], file: Path, layout: Layout, has_names: bool) -> Iterator[Row]:
    """Yield rows of a table; where its names are given, the last column, the label's, may be left out of all rows."""
    names: Sequence[str] = layout.columns or (() if has_names else (*layout.fields, layout.label_field))
    is_first, are_given = True, bool(names)
    origin = "the columns are" if are_given else "the first line names"
    for number, row in cells:
        if not names:
            names = [name.strip() for name in row]
            if len(set(names)) < len(names):
                raise ValueError(f"{file}:{number}: a column is named twice: {', '.join(names)}")
            continue
        if is_first and are_given and len(row) == len(names) - 1:
            names = names[:-1]
        is_first = False
        if len(row) != len(names):
            raise ValueError(f"{file}:{number} has {len(row)} cells, {origin} {len(names)}: {', '.join(names)}")
        yield Row(f"{file}:{number}", dict(zip(names, row, strict=True)))


def _has_wide_cells(file: Path) -> bool:
    """Tell by its first line a text and its tags, with a tab between, from a token and its tag."""
    first = next((line for _, line in read_lines(file) if line.strip()), "")
    return "\t" in first and len(split_cell(first.split("\t")[-1])) > 1


def _read_tagged(file: Path, layout: Layout) -> Iterator[Row]:
    """Read tokens, one on a line, with the tag in the last column; a blank line ends a text.

    Columns are parted by tabs or blanks. A token may itself be a blank, before its tab or blank. A file whose first
    line has one column has no tags.
    """
    tokens: list[str] = []
    tags: list[str] = []
    first, width, n_characters = 1, 0, 0
    for number, line in chain(read_lines(file), [(0, "")]):
        if line.strip() and not line.startswith(DOCUMENT_START):
            first = first if tokens else number
            parts = line.rstrip().split("\t" if "\t" in line else " ")
            width = width or len(parts)
            n_characters += len(line)
            if n_characters > longest_text():
                raise too_long(f"{file}:{first} is a text", longest_text())
            if (len(parts) > 1) != (width > 1):
                expected = "a token and its tag" if width > 1 else "a token alone, as in the lines before"
                raise ValueError(f"{file}:{number}: expected {expected}, got {line!r}")
            tokens.append(parts[0] or " ")
            tags += parts[-1:] if width > 1 else []
        elif tokens:
            yield Row(f"{file}:{first}", {TOKENS: tokens} | ({layout.label_field: tags} if width > 1 else {}))
            tokens, tags, n_characters = [], [], 0


def parse_json(text: str, location: str) -> ParsedFile:
    """Read a JSON document, or one JSON object per line.

    Raises:
        ValueError: With the line of what is not JSON.
    """
    first, _, rest = text.strip().partition("\n")
    is_lines = first.startswith("{") and first.rstrip().endswith("}") and rest.lstrip().startswith("{")
    if not is_lines:
        content = _load_json(text, location)
        rows = content if isinstance(content, list) else [content]
        return ParsedFile(location, [Row(location, row) for row in rows if isinstance(row, dict)], content)
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row = _load_json(line, location, number)
        if not isinstance(row, dict):
            raise ValueError(f"{location}:{number}: expected a JSON object, got {type(row).__name__}")
        rows.append(Row(f"{location}:{number}", row))
    return ParsedFile(location, rows, None)


def _load_json(text: str, location: str, first: int = 1) -> Any:
    """Return what a JSON text says; `first` is the number of its first line in the file."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{location}:{first + error.lineno - 1}: not JSON ({error.msg})") from None
    except (ValueError, RecursionError) as error:  # a number of over 4,300 digits, lists within lists
        raise ValueError(f"{location}:{first}: not JSON ({error})") from None
    return _encodable(found, f"{location}:{first}")


def _encodable(value: Any, location: str) -> Any:
    """Return a value of JSON after a check that no text in it, however deep, holds a lone surrogate."""
    check_encodable(json.dumps(value, ensure_ascii=False), location)
    return value

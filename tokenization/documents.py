"""Reading documents from text, JSON-lines and Parquet files, one at a time, with errors that name file and line."""

import glob
import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runtime.lazy import optional_import
from ..runtime.text_files import COMPRESSIONS, ReadPosition, check_length, longest_text, read_lines, too_long
from .normalization import check_encodable

logger = logging.getLogger(__name__)

TEXT_SUFFIXES = (".txt", *(f".txt{compression}" for compression in COMPRESSIONS))
JSON_SUFFIXES = (".jsonl", *(f".jsonl{compression}" for compression in COMPRESSIONS))
PARQUET_SUFFIX = ".parquet"
SUFFIXES = (*TEXT_SUFFIXES, *JSON_SUFFIXES, PARQUET_SUFFIX)
READABLE = f".txt and .jsonl (alone, or with {', '.join(COMPRESSIONS)} behind) and .parquet"
# From so many lines on a file without a blank line may be meant as that many documents. Our default.
MANY_LINES = 200
LINES_HINT = "prepare --lines makes each line one"
# Rows of a Parquet file that are read at a time, and their bytes as the file's metadata tells. Our defaults.
ROWS_AT_ONCE = 256
BYTES_AT_ONCE = 64_000_000
# What a Mac packs next to every file.
RESOURCE_FOLDER = "__MACOSX"


@dataclass(frozen=True, slots=True)
class TextDocument:
    """One document and where it came from."""

    text: str
    """The document, never empty."""
    source: str
    """Name of the file without its suffix or of its folder, or the value of the source field."""
    location: str
    """`file:line` (for Parquet `file:row`) of its beginning, counted from 1."""


def find_text_files(paths: Sequence[str | Path]) -> list[Path]:
    """Return the readable files among `paths`, folders and patterns (`*`, `?`) in the order of names.

    Links are followed; a file with several names is read once, under the first. In a folder hidden files and folders
    (`.name`, `__MACOSX`) are left out; a log line counts what a folder holds beside readable files.

    Raises:
        FileNotFoundError: If a path does not exist or a folder holds no readable file; for a link to nothing.
        ValueError: If nothing is given, or a file has an unknown suffix or a name that is not UTF-8.
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    files: dict[str, Path] = {}
    for path in map(Path, paths):
        for file in _find(path):
            _check_name(file)
            files.setdefault(os.path.realpath(file), file)
    if not files:
        raise ValueError("no corpus was given; name at least one file or folder of text")
    return list(files.values())


def read_documents(
    paths: Sequence[str | Path],
    text_field: str = "text",
    source_field: str | None = None,
    position: ReadPosition | None = None,
    lines: bool = False,
    folder_sources: bool = False,
) -> Iterator[TextDocument]:
    """Yield every document that is not empty, in the order of the files.

    A blank line separates the documents of a `.txt` file; a line of a `.jsonl` file or a row of a Parquet file is
    one document. Empty documents, and nulls in their place, are skipped and their number is logged.

    Args:
        paths: files or folders, see `find_text_files`
        text_field: field or column of the text; default "text"
        source_field: field or column that names the source instead of the file name; default None
        position: the reader keeps it at the number of bytes read so far; default None
        lines: every line of a `.txt` file that is not blank is a document of its own; default False
        folder_sources: the source is the name of the file's folder instead of the file's; default False

    Raises:
        FileNotFoundError: If a path is missing.
        ValueError: With file and line, for broken JSON, a missing or wrong field, a lone surrogate, bytes that are
            not UTF-8, a line or document longer than `longest_text`, or a damaged file; if the whole corpus holds no
            document.
    """
    position = position or ReadPosition()
    n_documents = n_empty = n_bytes = 0
    without_text: list[Path] = []
    for file in find_text_files(paths):
        before = n_documents
        source = (file.absolute().parent.name or "/") if folder_sources else source_of_file(file)
        for document in _read_file(file, text_field, source_field, source, position, lines):
            if document.text:
                check_length(document.text, document.location)
                n_documents += 1
                yield document
            else:
                n_empty += 1
        n_bytes += file.stat().st_size
        position.n_bytes = n_bytes
        if n_documents == before:
            without_text.append(file)
    if n_empty:
        logger.warning("skipped %d empty documents", n_empty)
    if not n_documents:
        raise ValueError(f"the corpus holds no document with text: {', '.join(map(str, paths))}")
    if without_text:
        logger.warning("%d files hold no document, the first is %s", len(without_text), without_text[0])


def _find(path: Path) -> list[Path]:
    """Return the readable files of a file's name, a folder or a pattern."""
    if glob.has_magic(str(path)) and not path.exists():
        found = _files_within(sorted(map(Path, glob.glob(str(path), recursive=True))))
        if not found:
            raise FileNotFoundError(f"no readable file matches {path}; give files or folders of text")
        return found
    if path.is_dir():
        found = _files_within([path])
        if not found:
            raise FileNotFoundError(f"the folder {path} holds no readable file; readable are {READABLE}")
        return found
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give files or folders of text")
    if not _suffix(path):
        raise ValueError(f"{path} has an unknown suffix; readable are {READABLE}")
    return [path]


def _files_within(paths: Iterable[Path]) -> list[Path]:
    """Return the readable files among `paths` and in the folders among them, and log what is left out."""
    found: list[Path] = []
    left_out: Counter[str] = Counter()
    for path in paths:
        files = _walk(path, left_out) if path.is_dir() else [path]
        found += (file for file in files if _suffix(file))
        left_out.update(file.suffix or "without suffix" for file in files if not _suffix(file))
    for file in found:
        if not file.exists():
            raise FileNotFoundError(f"{file} is a link to nothing; remove it or mend it")
    if found and left_out:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(left_out.items()))
        logger.warning("%d files to read, from %s on; left out: %s", len(found), found[0], kinds)
    return found


def _walk(folder: Path, left_out: Counter[str]) -> list[Path]:
    """Return all files of a folder in the order of names, linked folders included, each folder once."""

    def refuse(error: OSError) -> None:
        raise error

    files: list[Path] = []
    seen = {os.path.realpath(folder)}
    for place, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        shown = {name for name in (*folders, *names) if not name.startswith(".") and name != RESOURCE_FOLDER}
        if len(shown) < len(folders) + len(names):
            left_out["hidden"] += len(folders) + len(names) - len(shown)
        files += (Path(place, name) for name in names if name in shown)
        inner = sorted(name for name in folders if name in shown)
        folders.clear()
        for name in inner:
            real = os.path.realpath(os.path.join(place, name))
            if real not in seen:
                seen.add(real)
                folders.append(name)
    return sorted(files)


def _check_name(file: Path) -> None:
    """Raise a ValueError for a name that cannot be written into a manifest."""
    try:
        str(file).encode("utf-8")
    except UnicodeEncodeError:
        shown = os.fsencode(file).decode("utf-8", "backslashreplace")
        raise ValueError(
            f"the name of {shown} is not UTF-8; rename it, for example with convmv -f gb18030 -t utf-8 --notest"
        ) from None


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def _read_file(
    file: Path, text_field: str, source_field: str | None, source: str, position: ReadPosition, lines: bool
) -> Iterator[TextDocument]:
    suffix = _suffix(file)
    if suffix == PARQUET_SUFFIX:
        return _read_parquet(file, text_field, source_field, source, position)
    if suffix in JSON_SUFFIXES:
        return _read_json_lines(file, text_field, source_field, source, position)
    return _read_lines_apart(file, source, position) if lines else _read_plain_text(file, source, position)


def is_json_lines(file: str | Path) -> bool:
    """Return whether a file holds JSON lines by its name, plain or compressed."""
    return str(file).lower().endswith(JSON_SUFFIXES)


def source_of_file(file: Path) -> str:
    """Return the name of a readable file without its suffix: the source of its documents where nothing else is."""
    return file.name[: -len(_suffix(file))]


def _read_lines_apart(file: Path, source: str, position: ReadPosition) -> Iterator[TextDocument]:
    for number, line in read_lines(file, position):
        if line.strip():
            yield TextDocument(line, source, f"{file}:{number}")


def _read_plain_text(file: Path, source: str, position: ReadPosition) -> Iterator[TextDocument]:
    lines: list[str] = []
    first, is_whole_file, n_characters = 1, True, 0
    for number, line in read_lines(file, position):
        if line.strip():
            first = first if lines else number
            lines.append(line)
            n_characters += len(line)
            if n_characters > longest_text():
                raise too_long(f"{file}:{first} is a document", longest_text())
        elif lines:
            yield TextDocument("\n".join(lines), source, f"{file}:{first}")
            lines, is_whole_file, n_characters = [], False, 0
    if lines and is_whole_file and len(lines) >= MANY_LINES:
        logger.warning(
            "%s is one document of %d lines: a blank line parts documents (%s)", file, len(lines), LINES_HINT
        )
    if lines:
        yield TextDocument("\n".join(lines), source, f"{file}:{first}")


def read_word_list(path: str | Path) -> list[str]:
    """Return the lines of a text file that are not blank, without white space at their ends.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With file and line, for bytes that are not UTF-8; or if the file has no word.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{path} does not exist; give a text file with one word per line")
    words = [line.strip() for _, line in read_lines(file) if line.strip()]
    if not words:
        raise ValueError(f"{path} holds no word; write one per line")
    return words


def read_json_rows(file: Path, position: ReadPosition | None = None) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield (`file:line`, object) for every line of a `.jsonl` file (plain or compressed) that is not blank.

    Raises:
        ValueError: With file and line, for broken JSON, a line that is not an object, or bytes that are not UTF-8.
    """
    for number, line in read_lines(file, position):
        if not line.strip():
            continue
        location = f"{file}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # a number of over 4,300 digits is a plain ValueError
            raise ValueError(f"{location} is not valid JSON ({error}); write one JSON object per line") from error
        if not isinstance(row, dict):
            raise ValueError(f"{location} is a JSON {type(row).__name__}; write one JSON object per line")
        yield location, row


def _read_json_lines(
    file: Path, text_field: str, source_field: str | None, source: str, position: ReadPosition
) -> Iterator[TextDocument]:
    for location, row in read_json_rows(file, position):
        text = document_text(row, text_field, location)
        yield TextDocument(text, checked_field(row, source_field, location) if source_field else source, location)


def document_text(row: Mapping[str, object], field: str, location: str) -> str:
    """Return the text of a document; a null is an empty one, in every container alike.

    Args:
        row: fields of one document
        field: name of the field to return
        location: where the row lies, for messages

    Raises:
        ValueError: See `checked_field`.
    """
    return "" if field in row and row[field] is None else checked_field(row, field, location)


def checked_field(row: Mapping[str, object], field: str, location: str) -> str:
    """Return a field that must be text.

    Args:
        row: fields of one document
        field: name of the field to return
        location: where the row lies, for messages

    Raises:
        ValueError: If there is no such field, or it is not a string, or holds a lone surrogate.
    """
    if field not in row:
        raise ValueError(f"{location} has no field {field!r}; its fields are {', '.join(map(str, row)) or 'none'}")
    value = row[field]
    if not isinstance(value, str):
        raise ValueError(f"{location}: field {field!r} is {type(value).__name__}; expected a string")
    check_encodable(value, location)
    return value


def _read_parquet(
    file: Path, text_field: str, source_field: str | None, source: str, position: ReadPosition
) -> Iterator[TextDocument]:
    columns = [text_field, *([source_field] if source_field else [])]
    number = 0
    for rows, share in _parquet_rows(file, columns):
        for row in rows:
            number += 1
            location = f"{file}:{number}"
            named = checked_field(row, source_field, location) if source_field else source
            yield TextDocument(document_text(row, text_field, location), named, location)
        position.n_bytes += int(file.stat().st_size * share)


def _parquet_rows(file: Path, columns: list[str]) -> Iterator[tuple[list[dict[str, object]], float]]:
    """Yield some rows of a Parquet file and their share of all, until all that the file promises were read.

    Raises:
        ValueError: With file and row, for a file that is not Parquet or is damaged, or that lacks a column.
    """
    with optional_import(f"reading {file}"):
        import pyarrow
        import pyarrow.parquet
    number = 0
    with file.open("rb") as stream:  # an OSError of pyarrow is then one about the content
        try:
            table = pyarrow.parquet.ParquetFile(stream, page_checksum_verification=True)
            promised, names = table.metadata.num_rows, table.schema_arrow.names
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{file} is not a valid Parquet file ({_one_line(error)})") from error
        for column in columns:
            if column not in names:
                raise ValueError(f"{file} has no column {column!r}; its columns are {', '.join(names)}")
        batches = table.iter_batches(batch_size=_rows_at_once(table.metadata, file), columns=columns)
        while number < promised:
            try:
                rows = next(batches).to_pylist()
            except (pyarrow.ArrowException, OSError, UnicodeDecodeError, StopIteration) as error:
                problem = _one_line(error) or f"it promises {promised} rows"
                raise ValueError(
                    f"{file} is a broken Parquet file after row {number} ({problem}); fetch it again"
                ) from error
            number += len(rows)
            yield rows, len(rows) / promised


def _rows_at_once(metadata: Any, file: Path) -> int:
    """Return how many rows of a Parquet file to read at a time, fewer where rows are long.

    Raises:
        ValueError: If rows of a group are longer on average than a document may be.
    """
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    row_bytes = [group.total_byte_size / max(1, group.num_rows) for group in groups]
    for number, size in enumerate(row_bytes):
        if size > longest_text():
            raise too_long(f"{file}, row group {number}, is one of rows", longest_text())
    return max(1, min(ROWS_AT_ONCE, int(BYTES_AT_ONCE / max(1.0, *row_bytes, 1.0))))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())

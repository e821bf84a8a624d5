"""Reading documents from text, JSON-lines and Parquet files, one at a time, with errors that name file and line."""

import codecs
import glob
import gzip
import io
import json
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .normalization import check_encodable

logger = logging.getLogger(__name__)

TEXT_SUFFIXES = (".txt", ".txt.gz", ".txt.zst")
JSON_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
PARQUET_SUFFIX = ".parquet"
SUFFIXES = (*TEXT_SUFFIXES, *JSON_SUFFIXES, PARQUET_SUFFIX)


@dataclass(frozen=True, slots=True)
class TextDocument:
    """One document and where it came from."""

    text: str
    """The document, never empty."""
    source: str
    """Name of the file without its suffix, or the value of the source field."""
    location: str
    """`file:line` (for Parquet `file:row`) of its beginning, counted from 1."""


@dataclass(slots=True)
class ReadPosition:
    """How far reading has come, for a progress bar; the reader updates it."""

    n_bytes: int = 0
    """Bytes of the files that have been read, counted before decompression."""


def find_text_files(paths: Sequence[str | Path]) -> list[Path]:
    """Return the readable files among `paths`, folders and patterns (`*`, `?`) in the order of names.

    Raises:
        FileNotFoundError: If a path does not exist or a folder holds no readable file.
        ValueError: If nothing is given or a file has an unknown suffix.
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    files: dict[Path, None] = {}
    for path in map(Path, paths):
        if glob.has_magic(str(path)) and not path.exists():
            matches = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
            found = [file for match in matches for file in _readable_files(match)]
            if not found:
                raise FileNotFoundError(f"no readable file matches {path}; give files or folders of text")
            files.update(dict.fromkeys(found))
        elif path.is_dir():
            found = _readable_files(path)
            if not found:
                raise FileNotFoundError(f"the folder {path} holds no file ending in {', '.join(SUFFIXES)}")
            files.update(dict.fromkeys(found))
        elif not path.exists():
            raise FileNotFoundError(f"{path} does not exist; give files or folders of text")
        elif not _suffix(path):
            raise ValueError(f"{path} has an unknown suffix; readable are {', '.join(SUFFIXES)}")
        else:
            files[path] = None
    if not files:
        raise ValueError("no corpus was given; name at least one file or folder of text")
    return list(files)


def read_documents(
    paths: Sequence[str | Path],
    text_field: str = "text",
    source_field: str | None = None,
    position: ReadPosition | None = None,
) -> Iterator[TextDocument]:
    """Yield every document that is not empty, in the order of the files.

    A blank line separates the documents of a `.txt` file; a line of a `.jsonl` file or a row of a Parquet file is
    one document. Empty documents are skipped and their number is logged.

    Args:
        paths: files or folders, see `find_text_files`
        text_field: field or column of the text; default "text"
        source_field: field or column that names the source instead of the file name; default None
        position: the reader keeps it at the number of bytes read so far; default None

    Raises:
        FileNotFoundError: If a path is missing.
        ValueError: With file and line, for broken JSON, a missing or wrong field, a lone surrogate or bytes that are
            not UTF-8; if the whole corpus holds no document.
    """
    position = position or ReadPosition()
    n_documents = n_empty = n_bytes = 0
    for file in find_text_files(paths):
        for document in _read_file(file, text_field, source_field, position):
            if document.text:
                n_documents += 1
                yield document
            else:
                n_empty += 1
        n_bytes += file.stat().st_size
        position.n_bytes = n_bytes
    if n_empty:
        logger.warning("skipped %d empty documents", n_empty)
    if not n_documents:
        raise ValueError(f"the corpus holds no document with text: {', '.join(map(str, paths))}")


def _readable_files(path: Path) -> list[Path]:
    """Return the readable files of a folder and of those in it, or a readable file itself."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [file for file in files if file.is_file() and _suffix(file)]


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def _read_file(file: Path, text_field: str, source_field: str | None, position: ReadPosition) -> Iterator[TextDocument]:
    suffix = _suffix(file)
    if suffix == PARQUET_SUFFIX:
        return _read_parquet(file, text_field, source_field, position)
    if suffix in JSON_SUFFIXES:
        return _read_json_lines(file, text_field, source_field, position)
    return _read_plain_text(file, position)


def _stem(file: Path) -> str:
    return file.name[: -len(_suffix(file))]


class _CountedFile(io.FileIO):
    """A file that tells a position how many of its bytes were read."""

    def __init__(self, file: Path, position: ReadPosition) -> None:
        super().__init__(file)
        self._position = position

    def readinto(self, buffer: Any) -> int:
        n_bytes = super().readinto(buffer)
        self._position.n_bytes += n_bytes or 0
        return n_bytes


@contextmanager
def _open_bytes(file: Path, position: ReadPosition) -> Iterator[IO[bytes]]:
    with io.BufferedReader(_CountedFile(file, position), 1 << 17) as raw, _decompressed(file, raw) as stream:
        yield stream


@contextmanager
def _decompressed(file: Path, raw: IO[bytes]) -> Iterator[IO[bytes]]:
    name = file.name.lower()
    if name.endswith(".gz"):
        with gzip.open(raw, "rb") as stream:
            yield stream  # type: ignore[misc]
    elif name.endswith(".zst"):
        try:
            import zstandard
        except ImportError as error:
            raise ImportError(f"reading {file} needs zstandard: pip install 'chinese-modernbert[train]'") from error
        with zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream:
            yield io.BufferedReader(stream)  # type: ignore[arg-type]
    else:
        yield raw


def read_lines(file: Path, position: ReadPosition) -> Iterator[tuple[int, str]]:
    """Yield (number, line without its end); only LF ends a line, and a CR before it belongs to the line end."""
    number = 0
    with _open_bytes(file, position) as stream:
        try:
            for number, raw in enumerate(stream, start=1):
                line = raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
                yield number, line.removeprefix("\ufeff") if number == 1 else line
        except UnicodeDecodeError as error:
            encoding = "utf-16" if error.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "gb18030"
            raise ValueError(
                f"{file}:{number} is not UTF-8 (byte {error.start} of the line); "
                f"convert it, for example: iconv -f {encoding} -t utf-8"
            ) from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{file} is a broken gzip file after line {number} ({error}); fetch it again") from error
        except Exception as error:
            if type(error).__name__ != "ZstdError":
                raise
            raise ValueError(f"{file} is a broken zstd file after line {number} ({error}); fetch it again") from error


def _read_plain_text(file: Path, position: ReadPosition) -> Iterator[TextDocument]:
    lines: list[str] = []
    first = 1
    for number, line in read_lines(file, position):
        if line.strip():
            first = first if lines else number
            lines.append(line)
        elif lines:
            yield TextDocument("\n".join(lines), _stem(file), f"{file}:{first}")
            lines = []
    if lines:
        yield TextDocument("\n".join(lines), _stem(file), f"{file}:{first}")


def read_word_list(path: str | Path) -> list[str]:
    """Return the lines of a text file that are not blank, without white space at their ends.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With file and line, for bytes that are not UTF-8; or if the file has no word.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{path} does not exist; give a text file with one word per line")
    words = [line.strip() for _, line in read_lines(file, ReadPosition()) if line.strip()]
    if not words:
        raise ValueError(f"{path} holds no word; write one per line")
    return words


def read_json_rows(file: Path, position: ReadPosition | None = None) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield (`file:line`, object) for every line of a `.jsonl` file (plain, `.gz` or `.zst`) that is not blank.

    Raises:
        ValueError: With file and line, for broken JSON, a line that is not an object, or bytes that are not UTF-8.
    """
    for number, line in read_lines(file, position or ReadPosition()):
        if not line.strip():
            continue
        location = f"{file}:{number}"
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{location} is not valid JSON ({error}); write one JSON object per line") from error
        if not isinstance(row, dict):
            raise ValueError(f"{location} is a JSON {type(row).__name__}; write one JSON object per line")
        yield location, row


def _read_json_lines(
    file: Path, text_field: str, source_field: str | None, position: ReadPosition
) -> Iterator[TextDocument]:
    for location, row in read_json_rows(file, position):
        text = checked_field(row, text_field, location)
        source = checked_field(row, source_field, location) if source_field else _stem(file)
        yield TextDocument(text, source, location)


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
    file: Path, text_field: str, source_field: str | None, position: ReadPosition
) -> Iterator[TextDocument]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"reading {file} needs pyarrow: pip install 'chinese-modernbert[train]'") from error
    try:
        table = pyarrow.parquet.ParquetFile(file)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{file} is not a valid Parquet file ({error})") from error
    columns = [text_field, *([source_field] if source_field else [])]
    names = table.schema_arrow.names
    for column in columns:
        if column not in names:
            raise ValueError(f"{file} has no column {column!r}; its columns are {', '.join(names)}")
    number = 0
    with table:
        for batch in table.iter_batches(batch_size=256, columns=columns):
            for row in batch.to_pylist():
                number += 1
                location = f"{file}:{number}"
                source = checked_field(row, source_field, location) if source_field else _stem(file)
                yield TextDocument(checked_field(row, text_field, location), source, location)
            position.n_bytes += file.stat().st_size * batch.num_rows // table.metadata.num_rows

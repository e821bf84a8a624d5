"""Text files for every command: opened through their compression, whole or not at all, decoded as UTF-8.

A compressed file is read member by member and each must be whole: the libraries' own file objects take the end of a
file for the end of a zstd frame, and what follows the first sound bzip2 or xz stream for nothing.

Memory is bounded, whatever a file decompresses to: a line, a document or a file that is read whole ends in an error
where it is longer than `longest_text` allows.
"""

import bz2
import io
import lzma
import math
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from .lazy import optional_import

LIMIT_VARIABLE = "CHINESE_MODERNBERT_LONGEST_TEXT_MB"
# Bytes of the longest line or document, 10 million Chinese characters: `prepare` takes about 70 times as much memory.
# Our default.
LONGEST_TEXT = 32_000_000
# A file that is read whole, such as a task's JSON, may have the bytes of so many longest texts. Our default.
TEXTS_OF_A_FILE = 32
# Compressed bytes that are decompressed at once: 8 kB of zstd can hold 256 MB. Our default.
PIECE = 1 << 13
# Bytes that one piece of bzip2 or xz may give at once; 8 kB of bzip2 can hold 8 GB. Our default.
OUTPUT = 1 << 20
# Largest window of a zstd frame that its format's own program can be asked for (`--long=31`).
ZSTD_WINDOW = 1 << 31
FSSPEC_NAMES = {"gzip": ".gz", "bz2": ".bz2", "xz": ".xz", "zstd": ".zst"}
# Bytes of a file's beginning that its encoding is recognized by. Our default.
SAMPLE = 1 << 16
# The first bytes of what is no text, and what to do about it.
FOREIGN = {
    b"\x1f\x8b": "a gzip file; add .gz to its name",
    b"\x28\xb5\x2f\xfd": "a zstd file; add .zst to its name",
    b"\xfd7zXZ\x00": "an xz file; add .xz to its name",
    b"BZh": "a bzip2 file; add .bz2 to its name",
    b"PK\x03\x04": "a zip archive; unpack it",
    b"PAR1": "a Parquet file; add .parquet to its name",
}


@dataclass(slots=True)
class ReadPosition:
    """How far reading has come, for a progress bar; the reader updates it."""

    n_bytes: int = 0
    """Bytes of the files that have been read, counted before decompression."""


@dataclass(frozen=True)
class Compression:
    """How the members of a compressed file are read.

    Attributes:
        name: for messages
        load: returns what makes a decompressor for one member, and the errors that it raises
        limit: further arguments of its `decompress`, by which it gives no more than `OUTPUT` at once
    """

    name: str
    load: Callable[[], tuple[Callable[[], Any], tuple[type[Exception], ...]]]
    limit: tuple[int, ...] = ()


def _load_zstd() -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    with optional_import("reading .zst"):
        import zstandard
    frames = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
    return frames.decompressobj, (zstandard.ZstdError,)


COMPRESSIONS = {
    ".gz": Compression("gzip", lambda: (lambda: zlib.decompressobj(wbits=31), (zlib.error,))),
    ".zst": Compression("zstd", _load_zstd),
    ".xz": Compression("xz", lambda: (lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), (lzma.LZMAError,)), (OUTPUT,)),
    ".bz2": Compression("bzip2", lambda: (bz2.BZ2Decompressor, (OSError, ValueError)), (OUTPUT,)),
}


class _CountedFile(io.FileIO):
    """A file that tells a position how many of its bytes were read."""

    def __init__(self, file: Path, position: ReadPosition) -> None:
        super().__init__(file)
        self._position = position

    def readinto(self, buffer: Any) -> int:
        n_bytes = super().readinto(buffer)
        self._position.n_bytes += n_bytes or 0
        return n_bytes


class DamagedFileError(ValueError):
    """A compressed file, or a member of it, is not whole."""


class _Members(io.RawIOBase):
    """The content of a compressed file, member after member; zero bytes may pad it after a member, as tapes do."""

    def __init__(self, raw: IO[bytes], compression: Compression) -> None:
        self._raw = raw
        self._new_member, self._errors = compression.load()
        self._limit = compression.limit
        self._member: Any = None
        self._is_first = True
        self._input, self._output = b"", memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._output:
            # A member that was not let give all it can goes on without input.
            needs_input = getattr(self._member, "needs_input", True)
            self._input = self._input or (self._raw.read(PIECE) if needs_input else b"")
            if not self._input and needs_input:
                if self._member is None and not self._is_first:
                    return 0
                raise DamagedFileError("it is empty" if self._is_first else "its end is missing")
            self._advance()
        n_bytes = min(len(buffer), len(self._output))
        buffer[:n_bytes] = self._output[:n_bytes]
        self._output = self._output[n_bytes:]
        return n_bytes

    def _advance(self) -> None:
        """Decompress the piece at hand, up to the end of its member."""
        if self._member is None:
            self._input = self._input if self._is_first else self._input.lstrip(b"\0")
            if not self._input:
                return
            self._member, self._is_first = self._new_member(), False
        try:
            self._output = memoryview(self._member.decompress(self._input, *self._limit))
        except self._errors as error:
            raise DamagedFileError(str(error)) from error
        self._input = b""
        if self._member.eof:
            self._input, self._member = self._member.unused_data, None


class _Bounded(io.RawIOBase):
    """Bytes with an end to the length of each line, or of all of them.

    Args:
        raw: where they come from
        name: of the file, for the error
        by_line: count within each line
    """

    def __init__(self, raw: Any, name: str, by_line: bool) -> None:
        self._raw, self._name, self._by_line = raw, name, by_line
        self._limit = longest_text() * (1 if by_line else TEXTS_OF_A_FILE)
        self._line, self._size = 1, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n_bytes = self._raw.readinto(buffer) or 0
        self._size += n_bytes
        if self._by_line and (ends := (piece := bytes(buffer[:n_bytes])).count(b"\n")):
            self._line, self._size = self._line + ends, n_bytes - 1 - piece.rfind(b"\n")
        if self._size > self._limit:
            raise too_long(
                f"{self._name}:{self._line} is a line" if self._by_line else f"{self._name} is a file", self._limit
            )
        return n_bytes


def longest_text() -> int:
    """Return the bytes of the longest line or document that is read; `LIMIT_VARIABLE` gives another number, in MB.

    Raises:
        ValueError: If the variable is not such a number.
    """
    return _bytes_of(os.environ.get(LIMIT_VARIABLE, ""))


@lru_cache(maxsize=4)
def _bytes_of(megabytes: str) -> int:
    try:
        number = float(megabytes or LONGEST_TEXT / 1e6)
    except ValueError:
        number = math.nan
    if not 1 <= number < math.inf:
        raise ValueError(f"{LIMIT_VARIABLE}={megabytes!r} is not a number of megabytes; give 1 or more")
    return int(number * 1e6)


def too_long(what: str, limit: int) -> ValueError:
    """Return the error for something of more bytes than `limit`; `what` names it and where it lies."""
    more = math.ceil(2 * longest_text() / 1e6)
    return ValueError(f"{what} of more than {limit / 1e6:g} MB; cut it up, or set {LIMIT_VARIABLE} to {more} or more")


def check_length(text: str, location: str) -> None:
    """Refuse a document that is longer than `longest_text`.

    Args:
        text: the document
        location: where it begins, for messages

    Raises:
        ValueError: If it is longer.
    """
    limit = longest_text()
    if 4 * len(text) > limit and len(text.encode("utf-8", "surrogatepass")) > limit:
        raise too_long(f"{location} is a document", limit)


def open_members(raw: IO[bytes], suffix: str) -> IO[bytes]:
    """Return a stream of the content of a compressed one.

    Args:
        raw: the compressed bytes
        suffix: one of `COMPRESSIONS`

    Raises:
        DamagedFileError: From the stream, where a member is not whole or something else follows the last.
        ValueError: From the stream, where a line is longer than `longest_text`.
    """
    return _with_lines(_Members(raw, COMPRESSIONS[suffix]), str(getattr(raw, "name", "a compressed file")))


def _with_lines(raw: Any, name: str) -> IO[bytes]:
    return io.BufferedReader(_Bounded(raw, name, by_line=True), 1 << 17)


@contextmanager
def whole_files() -> Iterator[None]:
    """Let fsspec, by which `datasets` and `datatrove` read, decompress as this module does.

    Its own readers take a zstd file that was cut off for a whole one, and datatrove goes on after the end of any other.
    """
    from fsspec import compression

    openers: dict[Any, Any] = compression.compr

    def opener(suffix: str) -> Callable[..., IO[bytes]]:
        return lambda raw, mode="rb", **options: open_members(raw, suffix)

    before = dict(openers)
    openers.update({name: opener(suffix) for name, suffix in FSSPEC_NAMES.items()})
    try:
        yield
    finally:
        openers.update(before)


@contextmanager
def _opened(file: Path, position: ReadPosition) -> Iterator[Any]:
    """Yield the bytes of a file, decompressed where its suffix names a compression."""
    suffix = file.suffix.lower()
    with io.BufferedReader(_CountedFile(file, position), 1 << 17) as raw:
        yield _Members(raw, COMPRESSIONS[suffix]) if suffix in COMPRESSIONS else raw


def _damaged(file: Path, place: str, error: Exception) -> ValueError:
    name = COMPRESSIONS[file.suffix.lower()].name
    return ValueError(f"{file} is a broken {name} file{place} ({error}); fetch it again")


def read_lines(file: Path, position: ReadPosition | None = None) -> Iterator[tuple[int, str]]:
    """Yield (number, line without its end); only LF ends a line, and a CR before it belongs to the line end.

    Args:
        file: a text file, compressed where its name ends in one of `COMPRESSIONS`
        position: kept at the number of bytes read so far; default None

    Raises:
        ValueError: With file and line, for bytes that are not UTF-8, a NUL, a line that is longer than `longest_text`,
            or a compressed file that is not whole.
    """
    number = 0
    with _opened(file, position or ReadPosition()) as content:
        try:
            for number, raw in enumerate(_with_lines(content, str(file)), start=1):
                if b"\0" in raw:
                    raise _not_utf8(f"{file}:{number}", raw.index(b"\0"), raw, _first_bytes(file))
                line = raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
                yield number, line.removeprefix("\ufeff") if number == 1 else line
        except UnicodeDecodeError as error:
            raise _not_utf8(f"{file}:{number}", error.start, error.object, _first_bytes(file)) from None
        except DamagedFileError as error:
            raise _damaged(file, f" after line {number}", error) from error


def read_text(file: Path) -> str:
    """Return the whole text of a file.

    Args:
        file: a text file, compressed where its name ends in one of `COMPRESSIONS`

    Raises:
        ValueError: See `read_whole`; and if a compressed file is not whole.
    """
    with _opened(file, ReadPosition()) as content:
        try:
            return read_whole(content, str(file))
        except DamagedFileError as error:
            raise _damaged(file, "", error) from error


def read_whole(stream: IO[bytes], location: str) -> str:
    """Return the whole text of a stream, such as a member of an archive.

    Args:
        stream: its bytes
        location: where it lies, for messages

    Raises:
        ValueError: See `decode_text`; and if it holds more than `TEXTS_OF_A_FILE` longest texts.
    """
    return decode_text(_Bounded(stream, location, by_line=False).readall(), location)


def decode_text(content: bytes, location: str) -> str:
    """Decode UTF-8, with a byte order mark or without.

    Args:
        content: all bytes of a text
        location: where it lies, for messages

    Raises:
        ValueError: With the line, for bytes that are not UTF-8, or a NUL.
    """
    try:
        if b"\0" not in content:
            return content.decode("utf-8-sig")
        place = content.index(b"\0")
    except UnicodeDecodeError as error:
        place = error.start
    begin, line = content.rfind(b"\n", 0, place) + 1, content.count(b"\n", 0, place) + 1
    raise _not_utf8(f"{location}:{line}", place - begin, content[begin : begin + SAMPLE], content[:SAMPLE])


def _first_bytes(file: Path) -> bytes:
    with _opened(file, ReadPosition()) as content:
        try:
            return io.BufferedReader(content, SAMPLE).read(SAMPLE)
        except DamagedFileError:
            return b""


def _not_utf8(location: str, byte: int, line: bytes, sample: bytes) -> ValueError:
    """Return the error for a line that is not text in UTF-8, with what its file is in place of it.

    Args:
        location: file and line
        byte: number of the first wrong byte of the line
        line: the bytes of the line
        sample: the first bytes of the file
    """
    from charset_normalizer import from_bytes

    kind = next((kind for first, kind in FOREIGN.items() if sample.startswith(first)), None)
    if kind is not None:
        return ValueError(f"{location} is no text: the file is {kind}")
    where = f"{location} is not UTF-8 (byte {byte} of the line)"
    found = sample.decode("utf-8", "replace")
    wrong = found.count("\ufffd") + found.count("\0")
    # Other encodings give two-byte characters by chance, and next to none of the three bytes of Chinese.
    if sum("\u0800" <= character < "\ufffd" for character in found) > 4 * wrong:
        what = "a NUL; remove it" if line[byte] == 0 else "a damaged character; repair the line or leave it out"
        return ValueError(f"{where}, and the file around it is: it holds {what}")
    best = from_bytes(sample).best()
    name = None if best is None else best.encoding.replace("_", "-")
    if name in (None, "utf-8", "ascii"):
        return ValueError(f"{where}, and its encoding is unknown; find out how it was written and convert it to UTF-8")
    command = name.replace("-le", "le").replace("-be", "be").replace("hkscs", "-hkscs")
    return ValueError(f"{where}; it looks like {name}; convert it, for example: iconv -f {command} -t utf-8")

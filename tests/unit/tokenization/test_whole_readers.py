"""Any file gives its documents exactly, or an error that names file and place, whatever was done to it."""

import bz2
import gzip
import json
import lzma
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chinese_modernbert.tokenization.documents import SUFFIXES, TEXT_SUFFIXES, read_documents

Pack = Callable[[bytes], bytes]
PACKERS: dict[str, Pack] = {
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "gb18030", "big5"]
CHARACTERS = st.sampled_from(
    "的一是不了人我在有他这北京臺灣學習語言ABCabc019 ，。“”「」\u3000\u2028\x85\x0cé嚟𠮷😀\ufeff"
)
LINE = st.text(CHARACTERS, min_size=1, max_size=30).filter(str.strip)
# A blank line ends a document of a text file, so what it holds are lines that are not blank.
PLAIN = st.lists(st.lists(LINE, min_size=1, max_size=3).map("\n".join), max_size=5)
ANY = st.lists(st.text(st.one_of(CHARACTERS, st.characters(exclude_categories=["Cs"])), max_size=60), max_size=5)
STEADY = settings(derandomize=True, deadline=None, database=None, max_examples=400)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers")


@st.composite
def files(draw: st.DrawFn, encodings: list[str]) -> tuple[str, list[str], bytes, str]:
    """Return a suffix, the documents that a file of it holds, its bytes, and their encoding."""
    suffix, encoding = draw(st.sampled_from(SUFFIXES)), draw(st.sampled_from(encodings))
    if suffix == ".parquet":
        documents = draw(ANY)
        sink = pyarrow.BufferOutputStream()
        table = pyarrow.table({"text": pyarrow.array(documents, pyarrow.string())})
        compression = draw(st.sampled_from(["none", "snappy", "zstd", "gzip"]))
        pyarrow.parquet.write_table(
            table, sink, compression=compression, row_group_size=draw(st.integers(1, 3)), write_page_checksum=True
        )
        return suffix, documents, sink.getvalue().to_pybytes(), "utf-8"
    if suffix in TEXT_SUFFIXES:
        documents = draw(PLAIN)
        text = draw(st.sampled_from(["\n\n", "\r\n \n\n"])).join(documents) + draw(st.sampled_from(["", "\n"]))
    else:
        documents = draw(ANY)
        is_ascii = draw(st.booleans())
        text = "".join(json.dumps({"text": one}, ensure_ascii=is_ascii) + "\n" for one in documents)
    if suffix in TEXT_SUFFIXES and documents and encoding == "utf-8" and text.startswith("\ufeff"):
        assume(False)  # a mark, which is no part of the text
    try:
        content = text.encode(encoding)
    except UnicodeEncodeError:
        assume(False)
        raise
    return suffix, documents, PACKERS.get(Path(suffix).suffix, bytes)(content), encoding


def outcome(folder: Path, suffix: str, content: bytes) -> list[str] | str:
    """Return the documents of a file, or the message of its error, which must be one line and name the place."""
    path = folder / f"a{suffix}"
    path.write_bytes(content)
    try:
        return [document.text for document in read_documents([path])]
    except ValueError as error:
        message = str(error)
        if message == f"the corpus holds no document with text: {path}":
            return []
        places = r":\d+|is a broken \w+ file after (line|row) \d+|is not a valid Parquet file|has no column"
        assert re.match(rf"{re.escape(str(path))} ?({places})", message), message
        assert "\n" not in message
        return message


@STEADY
@given(file=files(ENCODINGS))
def test_an_undamaged_file_gives_its_documents_or_names_its_encoding(
    folder: Path, file: tuple[str, list[str], bytes, str]
) -> None:
    suffix, documents, content, encoding = file
    found = outcome(folder, suffix, content)
    expected = [document for document in documents if document]
    if encoding.startswith("utf-8"):
        assert found == expected
    elif isinstance(found, list) and found != expected:
        # A few characters of another encoding can be valid UTF-8: nobody can know. A NUL is what UTF-16 gives away.
        assert suffix in TEXT_SUFFIXES
        raw = "\n".join(expected).encode(encoding)
        assert b"\0" not in raw and "\ufffd" not in raw.decode("utf-8", "replace")


@STEADY
@given(
    file=files(["utf-8"]),
    kind=st.sampled_from(["cut", "flip", "more", "zeros", "empty"]),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    more=st.binary(min_size=1, max_size=40),
)
def test_a_damaged_file_gives_its_documents_or_an_error(
    folder: Path, file: tuple[str, list[str], bytes, str], kind: str, place: float, bit: int, more: bytes
) -> None:
    suffix, documents, content, _ = file
    at = int(len(content) * place**2)  # more often at the beginning, where a small Parquet file has its text
    if kind == "flip":
        assume(content)
    damaged = {
        "cut": lambda: content[:at],
        "flip": lambda: content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :],
        "more": lambda: content + more,
        "zeros": lambda: content[:at] + bytes(len(content) - at),
        "empty": lambda: b"",
    }[kind]()
    found = outcome(folder, suffix, damaged)
    expected = [document for document in documents if document]
    if suffix in (".txt", ".jsonl"):  # nothing tells that such a file has changed; it is read, or named
        if kind == "cut" and isinstance(found, list):
            whole, last = found[:-1], found[-1:]
            assert whole == expected[: len(whole)]
            assert not last or expected[len(whole)].startswith(last[0].removesuffix("\n"))
        return
    assert isinstance(found, str) or found == expected


def test_every_suffix_is_tried() -> None:
    assert {Path(f"a{suffix}").suffix for suffix in SUFFIXES} == {".txt", ".jsonl", ".parquet", *PACKERS}

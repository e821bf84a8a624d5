"""Any file of rows gives them exactly, or an error that names file and place, whatever was done to it."""

import bz2
import csv
import gzip
import io
import json
import lzma
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chinese_modernbert.evaluation.clue.forms import Layout, read_rows
from chinese_modernbert.runtime.text_files import COMPRESSIONS

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}
CHARACTERS = "的一是北京臺灣嚟𠮷Ab0 ,\"'{}[]:\u3000\u2028\x85é😀，。"
CELL = st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=12).filter(str.strip)
LONG_CELL = st.text(st.sampled_from(CHARACTERS + "\n\t"), max_size=20)
STEADY = settings(derandomize=True, deadline=None, database=None, max_examples=200)


def test_every_compression_is_tried() -> None:
    assert PACKERS.keys() == {"", *COMPRESSIONS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forms")


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, list[dict[str, str]], bytes]:
    """Return the name of a file, its rows and its bytes."""
    form, suffix = draw(st.sampled_from([".csv", ".tsv", ".json", ".jsonl"])), draw(st.sampled_from(list(PACKERS)))
    cell = CELL if form == ".tsv" else LONG_CELL
    rows = draw(st.lists(st.fixed_dictionaries({"text": cell, "label": cell}), max_size=5))
    out = io.StringIO(newline="")
    if form == ".csv":
        writer = csv.DictWriter(out, ["text", "label"], lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
        writer.writeheader()
        writer.writerows(rows)
    elif form == ".tsv":
        cells = [[row["text"], row["label"]] for row in rows]
        out.write("".join("\t".join(cells) + "\n" for cells in [["text", "label"], *cells]))
    elif form == ".jsonl" or draw(st.booleans()):
        assume(form == ".jsonl" or len(rows) > 1)  # one line alone is an object
        out.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    else:
        out.write(json.dumps(rows, ensure_ascii=False, indent=draw(st.sampled_from([None, 1]))))
    content = out.getvalue().encode(draw(st.sampled_from(["utf-8", "utf-8-sig"])))
    return f"a{form}{suffix}", rows, PACKERS[suffix](content)


def outcome(path: Path, content: bytes) -> list[dict[str, str]] | str:
    path.write_bytes(content)
    try:
        return [row.values for row in read_rows(path, Layout())]
    except ValueError as error:
        message = str(error)
        assert re.match(rf"{re.escape(str(path))}(:\d+|: expected| is a broken \w+ file)", message), message
        assert "\n" not in message
        return message


@STEADY
@given(table=tables())
def test_a_file_gives_its_rows(folder: Path, table: tuple[str, list[dict[str, str]], bytes]) -> None:
    name, rows, content = table
    assert outcome(folder / name, content) == rows


@STEADY
@given(
    table=tables(),
    kind=st.sampled_from(["cut", "flip", "more", "empty"]),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    more=st.binary(min_size=1, max_size=40),
)
def test_a_damaged_file_gives_its_rows_or_an_error(
    folder: Path, table: tuple[str, list[dict[str, str]], bytes], kind: str, place: float, bit: int, more: bytes
) -> None:
    name, rows, content = table
    at = int(len(content) * place)
    assume(content)
    flipped = content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
    damaged = {"cut": content[:at], "flip": flipped, "more": content + more, "empty": b""}[kind]
    found = outcome(folder / name, damaged)
    if Path(name).suffix in COMPRESSIONS:  # nothing tells that another file has changed
        assert isinstance(found, str) or found == rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"text": "a"}, "b"]', "expected JSON objects, item 2 of the list is str"),
        ('[{"text": "a"}, [1]]', "expected JSON objects, item 2 of the list is list"),
        ("3", "expected JSON objects, item 1 of the list is int"),
        ("[" * 100_000, "not JSON"),
        ("[" + "1" * 5_000 + "]", "not JSON"),
        ('{"text": "a"}\n{"text": ' + "1" * 5_000 + "}", "not JSON"),
    ],
)
def test_what_is_no_row_of_a_json_file_is_named(folder: Path, content: str, message: str) -> None:
    assert message in outcome(folder / "b.json", content.encode())

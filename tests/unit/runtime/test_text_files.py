import bz2
import gzip
import io
import lzma
import os
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from chinese_modernbert.runtime import text_files
from chinese_modernbert.runtime.text_files import (
    COMPRESSIONS,
    LIMIT_VARIABLE,
    ReadPosition,
    decode_text,
    read_lines,
    read_text,
    read_whole,
)

SIMPLIFIED = "北京是中国的首都，人口两千多万。他说：“今天天气很好”，我们去公园吧。\n\n第二篇 2024 年。\n"
TRADITIONAL = "臺灣的夜市非常熱鬧，許多觀光客都會來這裡品嚐小吃。\n\n學習語言需要時間與耐心 2024。\n"
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}
CONTENT = "".join(f"第 {number} 行，{number * 7919 % 1009} 个字\n" for number in range(3_000)).encode()


def lines(path: Path) -> list[str]:
    return [line for _, line in read_lines(path)]


def test_every_compression_is_tried_here() -> None:
    assert PACKERS.keys() == COMPRESSIONS.keys()


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_compressed_file_gives_its_lines_and_its_position(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(PACKERS[suffix](CONTENT))
    position = ReadPosition()
    assert [line for _, line in read_lines(path, position)] == CONTENT.decode().split("\n")[:-1]
    assert position.n_bytes == path.stat().st_size
    assert read_text(path).encode() == CONTENT


@pytest.mark.parametrize("suffix", PACKERS)
def test_members_behind_each_other_are_one_file_and_zero_bytes_may_pad_them(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    pack = PACKERS[suffix]
    path.write_bytes(pack(b"a\nb") + pack(b"") + bytes(512) + pack(b"c\n") + bytes(20_000))
    assert lines(path) == ["a", "bc"]


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("share", [0.0, 0.0005, 0.3, 0.9, 0.9999])
def test_a_file_that_was_cut_off_is_an_error(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a.txt{suffix}"
    packed = PACKERS[suffix](CONTENT)
    path.write_bytes(packed[: int(len(packed) * share)])
    with pytest.raises(ValueError, match=rf"a.txt{suffix} is a broken {COMPRESSIONS[suffix].name} file after line \d+"):
        lines(path)
    with pytest.raises(ValueError, match=rf"a.txt{suffix} is a broken {COMPRESSIONS[suffix].name} file \("):
        read_text(path)


@pytest.mark.parametrize("suffix", PACKERS)
def test_whatever_follows_the_last_member_is_an_error(tmp_path: Path, suffix: str) -> None:
    # Python's own readers of bzip2 and xz take a second stream with a damaged head for nothing and end well.
    path = tmp_path / f"a.txt{suffix}"
    second = PACKERS[suffix](b"lost\n")
    path.write_bytes(PACKERS[suffix](b"a\n") + bytes([second[0] ^ 1]) + second[1:])
    with pytest.raises(ValueError, match="broken .* after line 1"):
        lines(path)


def test_a_zstd_file_with_the_widest_window_is_read_and_so_are_its_skippable_frames(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=30, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    skippable = bytes.fromhex("502a4d18") + (4).to_bytes(4, "little") + b"more"
    path = tmp_path / "a.txt.zst"
    path.write_bytes(skippable + packer.compress(CONTENT) + packer.flush() + skippable)
    assert zstandard.get_frame_parameters(path.read_bytes()[len(skippable) :]).window_size == 1 << 30
    assert read_text(path).encode() == CONTENT


@pytest.mark.parametrize("suffix", [*PACKERS, ""])
def test_a_line_that_is_too_long_is_refused_by_its_number_and_read_where_the_limit_is_raised(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(PACKERS.get(suffix, bytes)(b"first\n" + b"x" * 1_500_000 + b"\nlast\n"))
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    with pytest.raises(ValueError, match=rf"a.txt{suffix}:2 is a line of more than 1 MB; .* set {LIMIT_VARIABLE} to 2"):
        lines(path)
    monkeypatch.setenv(LIMIT_VARIABLE, "2")
    assert list(map(len, lines(path))) == [5, 1_500_000, 4]


@pytest.mark.parametrize("suffix", PACKERS)
def test_memory_is_bounded_whatever_a_file_decompresses_to(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(PACKERS[suffix](b"x" * 45_000_000) * 45)  # 2 GB without a line feed
    assert path.stat().st_size < 3_000_000
    monkeypatch.setenv(LIMIT_VARIABLE, "8")
    monkeypatch.setattr(text_files, "TEXTS_OF_A_FILE", 4)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="a.txt.*:1 is a line of more than 8 MB"):
            lines(path)
        peak_of_lines = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        with pytest.raises(ValueError, match="is a file of more than 32 MB"):
            read_text(path)
        peak_of_whole = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Beside the text, zstd gives a frame whole.
    assert peak_of_lines < 4 * 8e6 + 45e6
    assert peak_of_whole < 3 * 32e6 + 45e6


def test_a_limit_that_is_no_number_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x\n")
    for wrong in ("many", "0", "-1", "nan", "inf"):
        monkeypatch.setenv(LIMIT_VARIABLE, wrong)
        with pytest.raises(
            ValueError, match=f"{LIMIT_VARIABLE}='{wrong}' is not a number of megabytes; give 1 or more"
        ):
            lines(path)


def test_a_stream_is_read_whole_up_to_the_limit_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    assert read_whole(io.BytesIO(CONTENT), "member") == CONTENT.decode()
    with pytest.raises(ValueError, match="member is a file of more than 32 MB"):
        read_whole(io.BytesIO(b"x" * 32_000_001), "member")


@pytest.mark.parametrize("suffix", [*PACKERS, ""])
@pytest.mark.parametrize("repeats", [1, 3_000])
@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gb18030", SIMPLIFIED),
        ("gb18030", TRADITIONAL),
        ("big5", TRADITIONAL),
        ("utf-16", SIMPLIFIED),
        ("utf-16-le", SIMPLIFIED),
        ("utf-16-be", TRADITIONAL),
        ("utf-32", SIMPLIFIED),
        ("utf-32-le", TRADITIONAL),
        ("utf-32-be", SIMPLIFIED),
    ],
    ids=lambda value: value if len(value) < 10 else "simplified" if value == SIMPLIFIED else "traditional",
)
def test_another_encoding_is_named_with_a_command_that_gives_the_text_back(
    tmp_path: Path, encoding: str, text: str, repeats: int, suffix: str
) -> None:
    content = (text * repeats).encode(encoding)
    plain, path = tmp_path / "plain", tmp_path / f"a.txt{suffix}"
    plain.write_bytes(content)
    path.write_bytes(PACKERS.get(suffix, bytes)(content))
    with pytest.raises(ValueError, match=rf"a.txt{suffix}:\d+ is not UTF-8 \(byte \d+ of the line\)") as caught:
        lines(path)
    command = str(caught.value).partition("for example: ")[2].split()
    found = subprocess.run([*command, str(plain)], capture_output=True, check=True).stdout.decode()
    assert found.removeprefix("\ufeff") == text * repeats
    with pytest.raises(ValueError, match=r"a.txt.*:\d+ is not UTF-8"):
        read_text(path)


def test_utf_16_of_characters_whose_bytes_are_ascii_is_not_taken_for_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("丁丂丠\n世丕\n".encode("utf-16-le"))
    assert path.read_bytes().decode("utf-8").split("\n")  # valid UTF-8
    with pytest.raises(ValueError, match="a.txt:2 is not UTF-8"):
        lines(path)


def test_damage_within_utf_8_brings_no_advice_to_convert_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for wrong, what in ((b"\xe5\x8c", "a damaged character"), (b"\0", "a NUL")):
        path.write_bytes(SIMPLIFIED.encode() * 2 + b"ab" + wrong + b"c\n")
        with pytest.raises(ValueError, match=rf"a.txt:7 is not UTF-8 \(byte 2 of the line\).* it holds {what}"):
            lines(path)
        with pytest.raises(ValueError, match=rf"a.txt:7 is not UTF-8 \(byte 2 of the line\).* it holds {what}"):
            read_text(path)


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for suffix, pack in PACKERS.items():
        path.write_bytes(pack(CONTENT))
        with pytest.raises(ValueError, match=rf"a.jsonl:\d+ is no text: the file is an? .*; add {suffix} to its name"):
            lines(path)
    path.write_bytes(b"PK\x03\x04\x14\0\0\0")
    with pytest.raises(ValueError, match=r"a.jsonl:1 is no text: the file is a zip archive; unpack it"):
        lines(path)
    path.write_bytes(bytes(range(256)) * 9)
    with pytest.raises(ValueError, match=r"a.jsonl:1 is not UTF-8 .*its encoding is unknown"):
        lines(path)


def test_a_mark_at_the_beginning_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeff一\r\n\ufeff二".encode())
    assert lines(path) == ["一", "\ufeff二"]
    assert read_text(path) == decode_text(path.read_bytes(), "here") == "一\r\n\ufeff二"


def test_a_missing_file_is_named_by_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none.txt.gz"):
        lines(tmp_path / "none.txt.gz")
    os.mkdir(tmp_path / "folder.txt")
    with pytest.raises(IsADirectoryError):
        lines(tmp_path / "folder.txt")

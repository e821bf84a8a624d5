import gzip
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from chinese_modernbert.tokenization import find_text_files, read_documents


def write(path: Path, content: str) -> Path:
    data = content.encode("utf-8")
    if path.suffix == ".gz":
        data = gzip.compress(data)
    if path.suffix == ".zst":
        data = zstandard.ZstdCompressor().compress(data)
    path.write_bytes(data)
    return path


def texts(path: Path) -> list[str]:
    return [document.text for document in read_documents([path])]


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_json_lines_give_one_document_a_line(tmp_path: Path, suffix: str) -> None:
    rows = ["第一篇", "第二\u2028篇\n两行"]
    path = write(tmp_path / f"a.b.{suffix}", "".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in rows))
    documents = list(read_documents([path]))
    assert [document.text for document in documents] == rows
    assert documents[1].source == "a.b"
    assert documents[1].location == f"{path}:2"


@pytest.mark.parametrize("suffix", ["txt", "txt.gz", "txt.zst"])
def test_a_blank_line_parts_the_documents_of_plain_text(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", "\ufeff一\r\n二\r\n \r\n\n三\u2028\x85\x0c四")
    assert texts(path) == ["一\n二", "三\u2028\x85\x0c四"]
    assert [document.location for document in read_documents([path])] == [f"{path}:1", f"{path}:5"]


def test_parquet_gives_one_document_a_row_and_can_name_its_source(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"body": ["一", "二"], "site": ["甲", "乙"]}), path)
    documents = list(read_documents([path], text_field="body", source_field="site"))
    assert [(d.text, d.source, d.location) for d in documents] == [("一", "甲", f"{path}:1"), ("二", "乙", f"{path}:2")]
    with pytest.raises(ValueError, match="no column 'text'; its columns are body, site"):
        list(read_documents([path]))


def test_folders_are_searched_in_order_and_files_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    second = write(tmp_path / "sub" / "b.txt", "二")
    first = write(tmp_path / "a.txt", "一")
    write(tmp_path / "README.md", "no")
    assert find_text_files([tmp_path, first]) == [first, second]
    assert find_text_files([tmp_path / "**" / "b*.txt"]) == [second]
    assert find_text_files([tmp_path / "s*"]) == [second]  # a folder that a pattern matches is searched too
    with pytest.raises(FileNotFoundError, match="no readable file matches"):
        find_text_files([tmp_path / "z*.txt"])


def test_empty_documents_are_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert texts(write(tmp_path / "a.jsonl", '{"text": ""}\n{"text": "x"}\n\n{"text": ""}\n')) == ["x"]
    assert "skipped 2 empty documents" in caplog.text


def test_one_character_and_a_million_characters_are_documents(tmp_path: Path) -> None:
    assert [len(t) for t in texts(write(tmp_path / "a.txt", "好\n\n" + "好" * 1_000_000))] == [1, 1_000_000]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\n{"text": \n', "a.jsonl:2 is not valid JSON"),
        ('{"text": "a"}\n["a"]\n', "a.jsonl:2 is a JSON list"),
        ('{"body": "a"}\n', "a.jsonl:1 has no field 'text'; its fields are body"),
        ('{"text": null}\n', "a.jsonl:1: field 'text' is NoneType"),
        ('{"text": "好\\ud800"}\n', r"a.jsonl:1 holds the lone surrogate U\+D800 at character 1"),
        ('{"text": ""}\n', "holds no document with text"),
        ("", "holds no document with text"),
    ],
)
def test_broken_json_lines_are_named_with_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        texts(write(tmp_path / "a.jsonl", content))


@pytest.mark.parametrize(("encoding", "line"), [("gb18030", 2), ("utf-16", 1), ("utf-16-le", 1), ("big5", 2)])
@pytest.mark.parametrize("suffix", ["txt", "jsonl"])
def test_another_encoding_is_named_with_file_line_and_a_way_out(
    tmp_path: Path, suffix: str, encoding: str, line: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes('{"text": "ok"}\n{"text": "中文"}\n'.encode(encoding))
    # Without a mark at its beginning UTF-16 is valid UTF-8 up to its first Chinese character.
    line = 2 if (encoding, suffix) == ("utf-16-le", "txt") else line
    with pytest.raises(ValueError, match=rf"a.{suffix}:{line} is n") as caught:
        texts(path)
    assert "\n" not in str(caught.value)
    if encoding in ("gb18030", "utf-16"):
        assert f"iconv -f {encoding} " in str(caught.value)


def test_broken_archives_are_clear_errors(tmp_path: Path) -> None:
    whole = gzip.compress(b"abc\n" * 1000)
    (tmp_path / "b.txt.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="broken gzip"):
        texts(tmp_path / "b.txt.gz")
    (tmp_path / "c.txt.zst").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="broken zstd"):
        texts(tmp_path / "c.txt.zst")
    (tmp_path / "d.parquet").write_bytes(b"no table")
    with pytest.raises(ValueError, match="not a valid Parquet"):
        texts(tmp_path / "d.parquet")


def test_missing_empty_and_unknown_inputs_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no corpus was given"):
        find_text_files([])
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_text_files([tmp_path / "none.txt"])
    with pytest.raises(FileNotFoundError, match="holds no file ending in"):
        find_text_files([tmp_path])
    with pytest.raises(ValueError, match="unknown suffix"):
        find_text_files([write(tmp_path / "a.csv", "x")])

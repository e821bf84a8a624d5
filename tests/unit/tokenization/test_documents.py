import bz2
import gzip
import json
import lzma
import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from chinese_modernbert.runtime.text_files import LIMIT_VARIABLE
from chinese_modernbert.tokenization import documents, find_text_files, read_documents
from chinese_modernbert.tokenization.dataset_documents import read_dataset_documents

PACKERS = {
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}


def write(path: Path, content: str) -> Path:
    data = content.encode("utf-8")
    path.write_bytes(PACKERS.get(path.suffix, bytes)(data))
    return path


def texts(path: Path) -> list[str]:
    return [document.text for document in read_documents([path])]


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst", "jsonl.xz", "jsonl.bz2"])
def test_json_lines_give_one_document_a_line(tmp_path: Path, suffix: str) -> None:
    rows = ["第一篇", "第二\u2028篇\n两行"]
    path = write(tmp_path / f"a.b.{suffix}", "".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in rows))
    documents = list(read_documents([path]))
    assert [document.text for document in documents] == rows
    assert documents[1].source == "a.b"
    assert documents[1].location == f"{path}:2"


@pytest.mark.parametrize("suffix", ["txt", "txt.gz", "txt.zst", "txt.xz", "txt.bz2"])
def test_a_blank_line_parts_the_documents_of_plain_text(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", "\ufeff一\r\n二\r\n \r\n\n三\u2028\x85\x0c四")
    assert texts(path) == ["一\n二", "三\u2028\x85\x0c四"]
    assert [document.location for document in read_documents([path])] == [f"{path}:1", f"{path}:5"]


def test_a_file_without_a_blank_line_is_one_document_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(tmp_path / "a.txt", "".join(f"第{i}行\n" for i in range(300)))
    assert len(list(read_documents([file]))) == 1
    assert f"{file} is one document of 300 lines: a blank line parts documents (prepare --lines" in caplog.text
    caplog.clear()
    assert len(list(read_documents([write(tmp_path / "b.txt", "一\n\n" + "二\n" * 300)]))) == 2
    assert not caplog.text


def test_every_line_may_be_a_document(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "一\n\n二\n \n三")
    found = [(one.text, one.location) for one in read_documents([file], lines=True)]
    assert found == [("一", f"{file}:1"), ("二", f"{file}:3"), ("三", f"{file}:5")]


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


def test_files_without_a_document_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, content in (("a.txt", "一"), ("b.txt", " \n"), ("c.jsonl", ""), ("d.jsonl", '{"text": null}')):
        write(tmp_path / name, content)
    assert texts(tmp_path) == ["一"]
    assert f"3 files hold no document, the first is {tmp_path / 'b.txt'}" in caplog.text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.txt", "a.txt:3 is a document of more than 1 MB"),
        ("a.jsonl", "a.jsonl:2 is a line of more than 1 MB"),
        ("a.parquet", "a.parquet:2 is a document of more than 1 MB"),
    ],
)
def test_a_document_that_is_too_long_is_refused_where_it_lies(
    tmp_path: Path, name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, text = tmp_path / name, "\n".join(["一二三"] * 120_000)  # 1.2 MB in short lines
    if name == "a.txt":
        path.write_text(f"first\n\n{text}\n", encoding="utf-8")
    elif name == "a.jsonl":
        rows = [json.dumps({"text": one}, ensure_ascii=False) for one in ("first", text)]
        path.write_text("\n".join(rows), encoding="utf-8")
    else:
        pyarrow.parquet.write_table(pyarrow.table({"text": ["first", text]}), path)
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    with pytest.raises(ValueError, match=message):
        texts(path)
    monkeypatch.setenv(LIMIT_VARIABLE, "2")
    assert texts(path) == ["first", text]


def test_rows_of_parquet_are_read_fewer_at_a_time_where_they_are_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyarrow.parquet.write_table(
        pyarrow.table({"text": [f"{number}" * 20_000 for number in range(10, 60)]}), tmp_path / "a.parquet"
    )
    monkeypatch.setattr(documents, "BYTES_AT_ONCE", 200_000)
    rows = [len(rows) for rows, _ in documents._parquet_rows(tmp_path / "a.parquet", ["text"])]
    assert max(rows) <= 5
    assert sum(rows) == 50
    pyarrow.parquet.write_table(pyarrow.table({"text": ["x" * 1_500_000]}), tmp_path / "b.parquet")
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    with pytest.raises(ValueError, match="b.parquet, row group 0, is one of rows of more than 1 MB"):
        list(read_documents([tmp_path / "b.parquet"]))


def test_one_character_and_a_million_characters_are_documents(tmp_path: Path) -> None:
    assert [len(t) for t in texts(write(tmp_path / "a.txt", "好\n\n" + "好" * 1_000_000))] == [1, 1_000_000]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\n{"text": \n', "a.jsonl:2 is not valid JSON"),
        ('{"text": "a"}\n["a"]\n', "a.jsonl:2 is a JSON list"),
        ('{"body": "a"}\n', "a.jsonl:1 has no field 'text'; its fields are body"),
        ('{"text": 1}\n', "a.jsonl:1: field 'text' is int"),
        ('{"text": "a"}\n{"text": ' + "1" * 5000 + "}\n", "a.jsonl:2 is not valid JSON"),
        ('{"text": "好\\ud800"}\n', r"a.jsonl:1 holds the lone surrogate U\+D800 at character 1"),
        ('{"text": ""}\n', "holds no document with text"),
        ("", "holds no document with text"),
    ],
)
def test_broken_json_lines_are_named_with_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        texts(write(tmp_path / "a.jsonl", content))


def test_a_null_is_an_empty_document_in_every_container(folder_of_rows: Path, caplog: pytest.LogCaptureFixture) -> None:
    for file in sorted(folder_of_rows.iterdir()):
        caplog.clear()
        assert texts(file) == ["一", "二"]
        assert "skipped 2 empty documents" in caplog.text
        caplog.clear()
        form = {".jsonl": "json", ".parquet": "parquet"}[file.suffix]
        assert [document.text for document in read_dataset_documents(form, data_files=[str(file)])] == ["一", "二"]
        assert "skipped 2 empty documents" in caplog.text


@pytest.fixture
def folder_of_rows(tmp_path: Path) -> Path:
    folder, column = tmp_path / "rows", ["一", None, "", "二"]
    folder.mkdir()
    write(folder / "a.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in column))
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), folder / "a.parquet")
    return folder


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_a_damaged_parquet_file_is_named_with_the_rows_before(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"text": [f"第 {number} 篇" for number in range(2_000)]})
    options = {
        "compression": compression,
        "row_group_size": 512,
        "write_page_checksum": True,
        "write_statistics": False,
    }
    pyarrow.parquet.write_table(table, path, use_dictionary=False, **options)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"a.parquet is not a valid Parquet file \("):
        texts(path)
    place = whole.index("第 1000 篇".encode()) if compression == "none" else len(whole) // 2
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(ValueError, match=r"a.parquet is a broken Parquet file after row (512|1024) \(.*; fetch it"):
        texts(path)
    path.write_bytes(b"no table")
    with pytest.raises(ValueError, match="not a valid Parquet"):
        texts(path)


def test_links_are_followed_and_every_file_is_read_once(tmp_path: Path) -> None:
    corpus, elsewhere = tmp_path / "corpus", tmp_path / "data"
    (elsewhere / "sub").mkdir(parents=True)
    corpus.mkdir()
    write(elsewhere / "sub" / "b.txt", "二")
    write(elsewhere / "c.txt", "三")
    first = write(corpus / "a.txt", "一")
    (corpus / "circle").symlink_to(corpus)
    (corpus / "link").symlink_to(elsewhere / "sub")
    (corpus / "same").symlink_to(elsewhere / "sub")
    (corpus / "z.txt").symlink_to(elsewhere / "c.txt")
    expected = [first, corpus / "link" / "b.txt", corpus / "z.txt"]
    assert find_text_files([corpus]) == expected
    assert find_text_files([corpus, elsewhere, corpus / "circle" / "a.txt"]) == expected
    (corpus / "y.txt").symlink_to(tmp_path / "nothing.txt")
    with pytest.raises(FileNotFoundError, match=r"corpus/y.txt is a link to nothing"):
        find_text_files([corpus])


def test_hidden_files_are_no_documents_and_what_is_left_out_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in (".ipynb_checkpoints", "__MACOSX", "part.parquet"):
        (tmp_path / folder).mkdir()
    hidden = write(tmp_path / ".ipynb_checkpoints" / "a.txt", "no")
    for name in ("__MACOSX/._a.txt", "._a.txt", "README.md", "rows.csv", "LICENSE"):
        write(tmp_path / name, "no")
    files = [write(tmp_path / "a.txt", "一"), write(tmp_path / "part.parquet" / "b.txt", "二")]
    assert find_text_files([tmp_path]) == files
    assert "left out: 1 .csv, 1 .md, 3 hidden, 1 without suffix" in caplog.text
    assert find_text_files([tmp_path / "*"]) == files
    assert find_text_files([hidden.parent]) == [hidden]  # what is named is meant
    caplog.clear()
    assert find_text_files(files) == files
    assert not caplog.text


def test_a_folder_that_cannot_be_opened_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.txt", "一")

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        find_text_files([tmp_path])


def test_a_name_that_is_not_utf_8_is_refused_before_any_work(tmp_path: Path) -> None:
    for name in ("北京.txt".encode("gb18030"), "北京/a.txt".encode("gb18030")):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_text("一", encoding="utf-8")
        with pytest.raises(ValueError, match=r"the name of \S*\\xb1\\xb1\\xbe\\xa9\S* is not UTF-8") as caught:
            find_text_files([tmp_path])
        assert str(caught.value).isprintable()
        Path(os.fsdecode(path)).unlink()


def test_missing_empty_and_unknown_inputs_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no corpus was given"):
        find_text_files([])
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_text_files([tmp_path / "none.txt"])
    with pytest.raises(FileNotFoundError, match="holds no readable file; readable are"):
        find_text_files([tmp_path])
    with pytest.raises(ValueError, match="unknown suffix"):
        find_text_files([write(tmp_path / "a.csv", "x")])

import bz2
import gzip
import json
import lzma
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from datasets import Dataset, DatasetDict

from chinese_modernbert.runtime.text_files import LIMIT_VARIABLE
from chinese_modernbert.tokenization.dataset_documents import read_dataset_documents

ROWS = [{"text": "第一篇", "site": "a"}, {"text": None, "site": "a"}, {"text": "第二\u2028篇\n两行", "site": "b"}]

PACKERS = {
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "texts"
    path.mkdir()
    for split, rows in (("train", ROWS), ("test", ROWS[:1])):
        (path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_a_local_folder_gives_its_rows_in_order_without_the_empty_ones(folder: Path) -> None:
    documents = list(read_dataset_documents(str(folder)))
    assert [document.text for document in documents] == ["第一篇", "第二\u2028篇\n两行"]
    assert {document.source for document in documents} == {"texts"}
    assert [document.location for document in documents] == [f"{folder}[train]:1", f"{folder}[train]:3"]


def test_split_and_source_field_are_followed(folder: Path) -> None:
    documents = list(read_dataset_documents(str(folder), split="test", source_field="site"))
    assert [(document.text, document.source) for document in documents] == [("第一篇", "a")]


def test_data_files_are_read_in_the_form_that_is_named(folder: Path) -> None:
    files = [str(folder / "train.jsonl"), str(folder / "test.jsonl")]
    documents = list(read_dataset_documents("json", data_files=files, source_field="site"))
    assert [document.source for document in documents] == ["a", "b", "a"]


def test_files_that_a_folder_holds_in_another_form_are_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    # `datasets` reads the form of most files and passes over the others.
    assert len(list(read_dataset_documents(str(folder)))) == 2
    assert "leaves" not in caplog.text
    (folder / ".hidden.txt").write_text("no", encoding="utf-8")
    pyarrow.parquet.write_table(pyarrow.table({"text": ["第三篇"]}), folder / "more.parquet")
    assert len(list(read_dataset_documents(str(folder)))) == 2
    assert f"leaves 1 readable files of its folder out, the first is {folder / 'more.parquet'}" in caplog.text


def test_the_first_rows_come_without_reading_the_rest(folder: Path) -> None:
    lines = [json.dumps({"text": "好" * 1000})] * 10_000
    (folder / "train.jsonl").write_text("\n".join([*lines, "broken"]), encoding="utf-8")
    assert next(read_dataset_documents(str(folder))).text == "好" * 1000


def test_broken_rows_wrong_columns_and_splits_are_named(folder: Path) -> None:
    (folder / "train.jsonl").write_text('{"text": "好"}\n{"text": \n', encoding="utf-8")
    cases = (
        ({}, "texts, split train, cannot be read: JSON parse error"),
        ({"split": "test", "text_field": "body"}, r"\[test\]:1 has no field 'body'; its fields are text, site"),
        ({"split": "dev"}, r"split dev, cannot be read: Bad split: dev. Available splits"),
        ({"config": "zh"}, "BuilderConfig 'zh' not found"),
    )
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            list(read_dataset_documents(str(folder), **options))


def test_files_that_are_missing_are_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none.jsonl"):
        list(read_dataset_documents("json", data_files=[str(folder / "none.jsonl")]))


def test_lines_of_compressed_files_and_texts_of_rows_have_an_end_here_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "\n".join(json.dumps({"text": "x" * length}) for length in (5, 1_500_000))
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    for name, message in (("a.jsonl", "is a document"), ("b.jsonl.gz", "b.jsonl.gz:2 is a line")):
        (folder / name).write_bytes(gzip.compress(rows.encode()) if name.endswith(".gz") else rows.encode())
        with pytest.raises(ValueError, match=rf"{message} of more than 1 MB"):
            list(read_dataset_documents("json", data_files=[str(folder / name)]))


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_a_compressed_file_that_was_cut_off_is_an_error_and_a_whole_one_is_not(tmp_path: Path, suffix: str) -> None:
    # `datasets` alone takes what there is of a zstd file for all of it.
    file = tmp_path / f"a.txt{suffix}"
    lines = [f"第 {number} 篇，{number * 7919 % 10007} 字" for number in range(30_000)]
    packed = PACKERS[suffix]("\n".join(lines).encode())
    file.write_bytes(packed)
    assert [document.text for document in read_dataset_documents("text", data_files=[str(file)])] == lines
    file.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match="the data set text, split train, cannot be read: its end is missing"):
        list(read_dataset_documents("text", data_files=[str(file)]))


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_a_damaged_page_of_parquet_is_an_error(tmp_path: Path, compression: str) -> None:
    file = tmp_path / "a.parquet"
    table = pyarrow.table({"text": [f"第 {number} 篇" for number in range(2_000)]})
    options = {"compression": compression, "write_page_checksum": True, "write_statistics": False}
    pyarrow.parquet.write_table(table, file, use_dictionary=False, **options)
    whole = file.read_bytes()
    for place in (len(whole) // 3, len(whole) // 2):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="the data set parquet, split train, cannot be read: .*(CRC|Corrupt)"):
            list(read_dataset_documents("parquet", data_files=[str(file)]))


def test_a_folder_of_save_to_disk_is_read_and_its_splits_are_named(tmp_path: Path) -> None:
    train, test = Dataset.from_list(ROWS, split="train"), Dataset.from_list(ROWS[:1], split="test")
    DatasetDict({"train": train, "test": test}).save_to_disk(str(tmp_path / "both"))
    test.save_to_disk(str(tmp_path / "one"))
    found = {split: list(read_dataset_documents(str(tmp_path / "both"), split=split)) for split in ("train", "test")}
    assert [document.text for document in found["train"]] == ["第一篇", "第二\u2028篇\n两行"]
    assert [document.text for document in found["test"]] == ["第一篇"]
    for folder, options, message in (
        ("both", {"split": "dev"}, "split dev, cannot be read: it has no such split; it has train, test"),
        ("one", {}, "split train, cannot be read: it has no such split; it has test"),
        ("one", {"split": "test", "config": "zh"}, "leave configuration, revision and data files out"),
    ):
        with pytest.raises(ValueError, match=message):
            list(read_dataset_documents(str(tmp_path / folder), **options))


def test_a_process_that_read_parquet_ends_well(tmp_path: Path) -> None:
    # Left to itself, about every second such process is aborted at its end.
    pyarrow.parquet.write_table(pyarrow.table({"text": ["一", None, "二"] * 1_000}), tmp_path / "a.parquet")
    module = read_dataset_documents.__module__
    code = (
        f"import itertools\nfrom {module} import read_dataset_documents\n"
        f"rows = read_dataset_documents('parquet', data_files=[{str(tmp_path / 'a.parquet')!r}])\n"
        "print(len(list(itertools.islice(rows, 10))))\n"
    )
    for rest in ("del rows\n", "print(len(list(rows)))\n"):
        done = subprocess.run([sys.executable, "-c", code + rest], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr


def test_a_data_set_without_text_is_refused(folder: Path) -> None:
    (folder / "train.jsonl").write_text('{"text": ""}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="holds no document with text"):
        list(read_dataset_documents(str(folder)))

import json
from pathlib import Path

import pytest

from chinese_modernbert.tokenization.dataset_documents import read_dataset_documents

ROWS = [{"text": "第一篇", "site": "a"}, {"text": None, "site": "a"}, {"text": "第二\u2028篇\n两行", "site": "b"}]


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


def test_a_data_set_without_text_is_refused(folder: Path) -> None:
    (folder / "train.jsonl").write_text('{"text": ""}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="holds no document with text"):
        list(read_dataset_documents(str(folder)))

"""Tasks from sets of the table and from a folder in the layout of BEIR; wrong lines by file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from chinese_modernbert.evaluation.retrieval.reading import read_beir, read_retrieval_task

CORPUS = [
    {"_id": "c1", "title": "长城", "text": "长城在北方"},
    {"_id": "c2", "title": "", "text": "西湖在杭州"},
    {"_id": 3, "text": "长江在南方"},
    {"_id": "c4", "text": "西湖在杭州"},
]
QUERIES = [{"_id": "q1", "text": "长城在哪里"}, {"_id": "q2", "text": "西湖在哪里"}, {"_id": "q3", "text": "谁"}]
JUDGMENTS = "query-id\tcorpus-id\tscore\nq1\tc1\t2\nq1\t3\t0\nq2\tc2\t1\nq2\tc4\t1\n"


def lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own" / "qrels").mkdir(parents=True)
    with gzip.open(tmp_path / "own" / "corpus.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write(lines(CORPUS))
    (tmp_path / "own" / "queries.jsonl").write_text(lines(QUERIES), encoding="utf-8")
    (tmp_path / "own" / "qrels" / "test.tsv").write_text(JUDGMENTS, encoding="utf-8")
    return tmp_path / "own"


def test_a_folder_is_read_with_titles_and_grades_and_equal_passages_are_one(folder: Path) -> None:
    task = read_beir(folder)
    assert task.queries == ("长城在哪里", "西湖在哪里")
    assert task.passages == ("长城 长城在北方", "西湖在杭州", "长江在南方")
    assert task.relevant == (frozenset({0}), frozenset({1}))
    assert [dict(row) for row in task.grades] == [{0: 2.0}, {1: 1.0}]
    assert read_retrieval_task(str(folder), split="test") == read_retrieval_task(f"{folder}:test") == task


def test_a_split_that_is_not_there_is_not_taken_for_the_one_that_is(folder: Path) -> None:
    (folder / "qrels.tsv").write_text("q1\tc1\t1\n", encoding="utf-8")
    (folder / "qrels" / "test.tsv").unlink()
    (folder / "qrels").rmdir()
    with pytest.raises(FileNotFoundError, match=r":dev names a split, and .*own has qrels.tsv alone; leave 'dev' out"):
        read_retrieval_task(f"{folder}:dev")
    assert read_retrieval_task(str(folder)).queries == ("长城在哪里",)


def test_a_first_judgment_without_a_number_is_not_taken_for_names(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").write_text("q1\tc1\tgood\nq2\tc2\t1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"test.tsv:1: score 'good' is no number from 0 on"):
        read_beir(folder)


def test_judgments_of_one_grade_are_answers_alone_and_may_lie_beside_the_corpus(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").unlink()
    (folder / "qrels").rmdir()
    (folder / "qrels.tsv").write_text("q1\tc1\t1\nq2\t3\t1\n", encoding="utf-8")
    assert read_beir(folder, "any").grades == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1\tc9\t1", r"test.tsv:6: 'c9' is no _id of corpus.jsonl"),
        ("q9\tc1\t1", r"test.tsv:6: 'q9' is no _id of queries.jsonl"),
        ("q1\tc1", r"test.tsv:6 has 2 cells, expected query-id, corpus-id and score"),
        ("q3\tc1\tgood", r"test.tsv:6: score 'good' is no number from 0 on"),
        ("q3\tc1\t-1", r"test.tsv:6: score '-1' is no number from 0 on"),
        ("q3\tc1\tnan", r"test.tsv:6: score 'nan' is no number from 0 on"),
        ("q1\tc1\t1", r"test.tsv:6: 'c1' is judged twice for 'q1', first at .*test.tsv:2"),
        ("q1\tc1\t0", r"test.tsv:6: 'c1' is judged once as an answer and once as none for 'q1', first at .*:2"),
    ],
)
def test_a_wrong_judgment_is_named_by_file_and_line(folder: Path, line: str, message: str) -> None:
    (folder / "qrels" / "test.tsv").write_text(JUDGMENTS + line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_beir(folder)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"_id": "q4", "text": " "}, r"queries.jsonl:4: field 'text' is empty"),
        ({"_id": "q4"}, r"queries.jsonl:4: field 'text' is missing"),
        ({"_id": "q1", "text": "长"}, r"queries.jsonl:4: _id 'q1' is given twice"),
        ({"text": "长"}, r"queries.jsonl:4: field '_id' is None"),
        ({"_id": True, "text": "长"}, r"queries.jsonl:4: field '_id' is True"),
    ],
)
def test_a_wrong_text_is_named_by_file_and_line(folder: Path, row: dict, message: str) -> None:
    (folder / "queries.jsonl").write_text(lines([*QUERIES, row]), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_beir(folder)


def test_what_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"qrels/dev.tsv is missing; a folder for search holds corpus.jsonl"):
        read_beir(folder, "dev")
    (folder / "qrels" / "test.tsv").write_text("q1\tc1\t0\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no judgment is above 0"):
        read_beir(folder)


def test_a_passage_of_100_000_characters_is_read(folder: Path) -> None:
    (folder / "corpus.jsonl.gz").unlink()
    (folder / "corpus.jsonl").write_text(lines([*CORPUS, {"_id": "long", "text": "长" * 100_000}]), encoding="utf-8")
    assert len(read_beir(folder).passages[-1]) == 100_000


def test_graded_sets_of_the_table_keep_their_grades(tmp_path: Path) -> None:
    (tmp_path / "qbqtc").mkdir()
    rows = [
        {"query": "长城", "title": "长城在北方", "label": 2},
        {"query": "长城", "title": "长城砖", "label": "1"},
        {"query": "长城", "title": "西湖", "label": 0},
        {"query": "西湖", "title": "长江", "label": 0},
    ]
    with gzip.open(tmp_path / "qbqtc" / "dev.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write(lines(rows))
    task = read_retrieval_task("qbqtc:dev", tmp_path)
    assert task.queries == ("长城",) and len(task.passages) == 4
    assert dict(task.gains(0)) == {0: 1.0, 1: 0.5}
    assert task.relevant == (frozenset({0, 1}),)


def test_a_file_of_pairs_is_a_task_without_grades(tmp_path: Path) -> None:
    rows = [{"query": "长城在哪里", "passage": "长城在北方"}, {"query": "西湖在哪里", "passage": "西湖在杭州"}]
    (tmp_path / "own.jsonl").write_text(lines(rows), encoding="utf-8")
    task = read_retrieval_task(str(tmp_path / "own.jsonl"))
    assert task.relevant == (frozenset({0}), frozenset({1})) and task.grades == ()


def test_a_set_in_which_nothing_answers_is_named(tmp_path: Path) -> None:
    file = tmp_path / "low.jsonl"
    file.write_text(lines([{"sentence1": "甲", "sentence2": "乙", "score": 0.4}]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"low.jsonl: no passage answers a query, so that there is nothing to ask"):
        read_retrieval_task(str(file))


def test_a_question_is_asked_where_a_passage_answers_it_and_all_passages_are_searched(tmp_path: Path) -> None:
    (tmp_path / "dureader").mkdir()
    rows = [
        {"question": "长城在哪里", "context": "长城在北方", "answers": {"text": ["北方"], "answer_start": [-1]}},
        {"question": "西湖在哪里", "context": "西湖很美", "answers": {"text": [""], "answer_start": [-1]}},
    ]
    with gzip.open(tmp_path / "dureader" / "checklist_dev.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write(lines(rows))
    task = read_retrieval_task("dureader_answers:dev", tmp_path)
    assert task.queries == ("长城在哪里",) and task.passages == ("长城在北方", "西湖很美")
    assert task.relevant == (frozenset({0}),)
    assert len(read_retrieval_task("dureader:dev", tmp_path).queries) == 2

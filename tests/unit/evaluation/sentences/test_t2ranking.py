"""T2Ranking from small invented files: triplets, grades, texts to search among, and wrong lines by file and line."""

from pathlib import Path

import pytest

from chinese_modernbert.evaluation.retrieval.tasks import task_from_triplets
from chinese_modernbert.evaluation.sentences.files import SENTENCE_SETS, ReadRows, ScoredPair, Triplet, read_rows

FILES = {
    "collection.tsv": "pid\ttext\n0\t长城在北方\n1\t长江在南方\n2\t黄河在北方\n3\t西湖在杭州\n4\t泰山在山东\n",
    "queries.train.tsv": "qid\ttext\n7\t长城在哪里\n8\t西湖在哪里\n",
    "qrels.retrieval.train.tsv": "qid\tpid\n7\t0\n8\t3\n7\t2\n",
    "qrels.train.tsv": "qid\t-\tpid\trel\n7\t0\t0\t3\n7\t0\t1\t0\n",
    "train.mined.tsv": "qid\tpid\tindex\tscore\n7\t1\t1\t0.9\n7\t2\t2\t0.8\n",
    "queries.dev.tsv": "9\t泰山在哪里\n",
    "qrels.retrieval.dev.tsv": "9\t4\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "t2ranking").mkdir()
    for name, text in FILES.items():
        (tmp_path / "t2ranking" / name).write_text(text, encoding="utf-8")
    return tmp_path


def read(folder: Path, split: str = "train") -> ReadRows:
    return read_rows(SENTENCE_SETS["t2ranking"], split, folder)


def test_each_answer_is_a_triple_and_a_mined_answer_is_no_negative(folder: Path) -> None:
    found = read(folder)
    assert found.triplets == [
        Triplet("长城在哪里", "长城在北方", ("长江在南方",)),
        Triplet("长城在哪里", "黄河在北方", ("长江在南方",)),
        Triplet("西湖在哪里", "西湖在杭州"),
    ]
    assert found.pairs == [ScoredPair("长城在哪里", "长城在北方", 1.0), ScoredPair("长城在哪里", "长江在南方", 0.0)]
    assert found.passages == []


def test_dev_is_searched_in_the_whole_collection(folder: Path) -> None:
    found = read(folder, "dev")
    task = task_from_triplets(found.triplets, found.passages)
    assert task.queries == ("泰山在哪里",) and len(task.passages) == 5
    assert [task.passages[i] for i in task.relevant[0]] == ["泰山在山东"]


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("collection.tsv", "0\t又一段\n", r"collection.tsv:7: id 0 is given twice"),
        ("collection.tsv", "5\t \n", r"collection.tsv:7: the text of 5 is empty"),
        ("collection.tsv", "5\n", r"collection.tsv:7 has 1 cells, expected 2"),
        ("queries.train.tsv", "x\t问\n", r"queries.train.tsv:4: 'x' is no number"),
        ("qrels.retrieval.train.tsv", "9\t0\n", r"qrels.retrieval.train.tsv:5: query 9 is not in the file of queries"),
        ("qrels.retrieval.train.tsv", "7\t99\n", r"qrels.retrieval.train.tsv:5: passage 99 is not in collection"),
        ("qrels.train.tsv", "7\t0\t0\t4\n", r"qrels.train.tsv:4: grade 4 is outside 0 to 3"),
        ("qrels.train.tsv", "7\t0\t4\n", r"qrels.train.tsv:4 has 3 cells, expected 4"),
        ("train.mined.tsv", "7\t98\t3\n", r"train.mined.tsv:4: passage 98 is not in collection"),
    ],
)
def test_a_wrong_line_is_named_by_file_and_line(folder: Path, name: str, line: str, message: str) -> None:
    file = folder / "t2ranking" / name
    file.write_text(FILES[name] + line, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "t2ranking" / "qrels.retrieval.dev.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"qrels.retrieval.dev.tsv is missing; give the files of T2Ranking"):
        read(folder, "dev")

from pathlib import Path

import pytest

from chinese_modernbert.evaluation.task_readers import READERS
from chinese_modernbert.evaluation.tasks import TASKS, read_own_task


@pytest.mark.parametrize("name", TASKS)
def test_a_task_can_be_read_trained_and_submitted(name: str) -> None:
    task = TASKS[name]
    assert task.name == name
    assert task.reader in READERS
    assert {"train", "dev"} <= set(task.files)
    assert set(task.submissions) <= set(task.files)
    assert len(set(task.labels)) == len(task.labels)
    assert task.labels or task.kind in ("choice", "answer")
    assert task.max_length > 0 and task.batch_size > 0 and task.epochs > 0 and 0 < task.learning_rate < 1e-4
    assert task.recipe and task.licence and task.citation


def test_label_counts_are_the_official_ones() -> None:
    counts = {name: len(TASKS[name].labels) for name in ("afqmc", "tnews", "iflytek", "cmnli", "cluener")}
    assert counts == {"afqmc": 2, "tnews": 15, "iflytek": 119, "cmnli": 3, "cluener": 10}


def test_a_task_of_ones_own_takes_defaults_from_its_kind(tmp_path: Path) -> None:
    file = tmp_path / "mood.yaml"
    file.write_text("kind: classification\ntrain: a.csv\ndev: b.csv\nmetric: macro_f1\n", encoding="utf-8")
    task = read_own_task(file)
    assert (task.name, task.kind, task.fields, task.figure) == ("mood", "classification", ("text",), "macro_f1")
    assert task.files == {"train": ("a.csv",), "dev": ("b.csv",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: classification\ntrain: a\ndev: b\nlables: [x]", "unknown keys"),
        ("kind: classification\ntrain: a", "needs dev"),
        ("kind: answer\ntrain: a\ndev: b", "is not one of classification"),
        ("kind: entities\ntrain: a\ndev: b\nmetric: accuracy", "is not one of f1"),
        ("- 1", "unknown keys"),
    ],
)
def test_a_wrong_description_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        read_own_task(file)
    assert "\n" not in str(caught.value)

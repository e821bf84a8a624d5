from pathlib import Path

import pytest

from chinese_modernbert.evaluation.clue.files import TaskFiles
from chinese_modernbert.evaluation.clue.readers import NO_GOLD_LABEL, READERS
from chinese_modernbert.evaluation.clue.tasks import TASKS, label_text, read_own_task


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


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.label_field == "label" and task.labels])
def test_labels_are_those_of_the_data(name: str, real_data: Path) -> None:
    """The official files as oracle: rows of dev, and the list of labels where an archive has one."""
    if not (real_data / "clue" / f"{name}_public.zip").is_file():
        pytest.skip(f"the data hold no archive of {name}")
    task = TASKS[name]
    files = TaskFiles(real_data / "clue", task)
    found = {label_text(row.values[task.label_field]) for row in files.read(task.files["dev"][0]).rows}
    if name in ("tnews", "iflytek"):
        found = {label_text(row.values[task.label_field]) for row in files.read("labels.json").rows}
    assert found - {NO_GOLD_LABEL} == set(task.labels)


def write_own_task(folder: Path, text: str) -> Path:
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("text,label\n", encoding="utf-8")
    (folder / "mood.yaml").write_text(text, encoding="utf-8")
    return folder / "mood.yaml"


def test_a_task_of_ones_own_takes_defaults_from_its_kind(tmp_path: Path) -> None:
    task = read_own_task(write_own_task(tmp_path, "kind: classification\ntrain: a.csv\ndev: b.csv\nmetric: macro_f1\n"))
    assert (task.name, task.kind, task.fields, task.metric) == ("mood", "classification", ("text",), "macro_f1")


def test_files_of_ones_own_lie_beside_the_description_below_it_or_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "c.csv").write_text("text,label\n", encoding="utf-8")
    text = f"kind: classification\ntrain: rows/c.csv\ndev: b.csv\ntest: {tmp_path / 'a.csv'}\n"
    monkeypatch.chdir(write_own_task(tmp_path, text).parent)
    expected = {"train": ("rows/c.csv",), "dev": ("b.csv",), "test": ("a.csv",)}
    assert read_own_task("mood.yaml").files == {
        split: tuple(str(tmp_path / name) for name in names) for split, names in expected.items()
    }
    with pytest.raises(FileNotFoundError, match=r"mood\.yaml: the test file .*c\.csv is not there"):
        read_own_task(write_own_task(tmp_path, text.replace("test: ", "test: c.csv #")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: classification\ntrain: a\ndev: b\nlables: [x]", "unknown keys"),
        ("kind: classification\ntrain: a", "needs dev"),
        ("kind: answer\ntrain: a\ndev: b", "is not one of classification"),
        ("kind: entities\ntrain: a\ndev: b\nmetric: accuracy", "is not one of f1"),
        ("- 1", "unknown keys"),
        (
            "kind: classification\ntrain: a\ndev: b\nfields: text",
            "fields='text' is not a list of column names, 1 or 2 for",
        ),
        ("kind: classification\ntrain: a\ndev: b\nfields: [a, b, c]", "is not a list of column names, 1 or 2 for"),
        ("kind: classification\ntrain: a\ndev: b\nfields: [1]", "is not a list of column names, 1 or 2 for"),
        ("kind: entities\ntrain: a\ndev: b\nfields: [a, b]", "is not a list of column names, 1 for"),
        ("kind: choice\ntrain: a\ndev: b\nfields: [question]", "is not a list of column names, 2 for"),
        ("kind: classification\ntrain: a\ndev: b\nlabels: good", "labels='good' is not a list"),
    ],
)
def test_a_wrong_description_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        read_own_task(file)
    assert "\n" not in str(caught.value)

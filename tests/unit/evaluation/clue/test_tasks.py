from pathlib import Path

import pytest

from chinese_modernbert.evaluation.clue.files import TaskFiles
from chinese_modernbert.evaluation.clue.labels import NO_GOLD_LABEL
from chinese_modernbert.evaluation.clue.own_tasks import read_own_task
from chinese_modernbert.evaluation.clue.readers import READERS
from chinese_modernbert.evaluation.clue.tasks import TASKS, label_text


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
        ("kind: classification\ntrain: a\ndev: b\nlabel: [x]", "unknown key 'label'.*did you mean 'labels'"),
        ("kind: classification\ntrain: a", "gives no 'dev'"),
        ("kind: answer\ntrain: a\ndev: b", "is not one of classification"),
        ("kind: entities\ntrain: a\ndev: b\nmetric: accuracy", "is not one of f1"),
        ("kind: multi_label\ntrain: a\ndev: b\nmetric: pearson", "is not one of f1, macro_f1, accuracy"),
        ("- 1", "must be a mapping"),
        ("kind: classification\ntrain: a\ndev: b\nfields: [a, b, c]", "are 3 columns, expected 1 or 2 for"),
        ("kind: entities\ntrain: a\ndev: b\nfields: [a, b]", "are 2 columns, expected 1 for"),
        ("kind: choice\ntrain: a\ndev: b\nfields: [question]", "are 1 columns, expected 2 for"),
        ("kind: classification\ntrain: a\ndev: b\nlabels: good", "labels='good' is neither a list nor a mapping"),
        ("kind: regression\ntrain: a\ndev: b\nlabels: [good]", "labels are not read for regression"),
        ("kind: classification\ntrain: a\ndev: b\ncolumns: [label]", "lack text, which fields name"),
        ("kind: classification\ntrain: a\ndev: b\nbatch_size: 0", "batch_size=0 is not above 0"),
        ("kind: classification\ntrain: a\ndev: b\nepochs: many", "epochs='many' in .* is not of type float"),
        (
            "kind: classification\ntrain: own.yaml\ndev: own.yaml",
            r"own\.yaml has an unknown suffix; readable are \.jsonl",
        ),
    ],
)
def test_a_wrong_description_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        read_own_task(file)
    assert "\n" not in str(caught.value)


def test_a_task_of_ones_own_has_no_name_of_clue(tmp_path: Path) -> None:
    (tmp_path / "tnews.yaml").write_text("kind: classification\ntrain: a\ndev: b\n", encoding="utf-8")
    with pytest.raises(ValueError, match="tnews is the name of a task of CLUE"):
        read_own_task(tmp_path / "tnews.yaml")


@pytest.mark.parametrize(
    ("kind", "labels", "expected"),
    [
        ("classification", "{0: bad, 1: good}", ("bad", "good")),
        ("multi_label", "{a: news, b: sport, c: news}", ("news", "sport")),
        ("entities", "{0: O, 1: B-PER, 2: I-PER, 3: B-LOC, 4: I-LOC}", ("PER", "LOC")),
        ("entities", "{PER: person, LOC: place}", ("person", "place")),
        ("entities", "[PER, LOC]", ("PER", "LOC")),
    ],
)
def test_labels_may_be_written_in_one_way_and_named_in_another(
    kind: str, labels: str, expected: tuple[str, ...], tmp_path: Path
) -> None:
    task = read_own_task(write_own_task(tmp_path, f"kind: {kind}\ntrain: a.csv\ndev: b.csv\nlabels: {labels}\n"))
    assert task.labels == expected

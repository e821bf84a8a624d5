import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest

from chinese_modernbert.evaluation.clue.files import TaskData, describe, read_task
from chinese_modernbert.evaluation.clue.forms import parse_json
from chinese_modernbert.evaluation.clue.own_tasks import read_own_task
from chinese_modernbert.evaluation.clue.tasks import TASKS
from reference.clue_files import task_files, write_task

# What the official archives hold, for the sets that are complete in the folder of real data. Two figures differ from
# the table's: rows labelled "-" are dropped.
COMPLETE = {
    "afqmc": {"train": 34_334, "dev": 4_316, "test": 3_861},
    "tnews": {"train": 53_360, "dev": 10_000, "test": 10_000, "test1.0": 10_000},
    "ocnli": {"train": 50_437, "dev": 2_950, "test": 3_000},
    "cluewsc2020": {"train": 1_244, "dev": 304, "test": 290},
    "c3": {"train": 11_869, "dev": 3_816, "test": 1_625, "test1.0": 3_892, "labelled_test": 3_892},
    "cmrc2018": {"train": 10_142, "dev": 3_219, "test": 2_000, "trial": 1_002},
}


@pytest.mark.parametrize("name", COMPLETE)
def test_complete_sets_have_the_official_counts(name: str, real_data: Path) -> None:
    found = read_task(TASKS[name], real_data / "clue")
    assert found.counts() == COMPLETE[name]
    official = {split: count + found.dropped.get(split, 0) for split, count in found.counts().items()}
    assert official == {**TASKS[name].rows, **({} if name != "ocnli" else {"train": 50_486, "dev": 3_000})}


def test_the_dev_rows_of_tnews_that_occur_in_train_are_counted(real_data: Path) -> None:
    assert len(read_task(TASKS["tnews"], real_data / "clue").repeated_dev_rows) == 1_099


def test_gold_labels_of_the_real_wsc_are_the_stated_ones(real_data: Path) -> None:
    dev = read_task(TASKS["cluewsc2020"], real_data / "clue").splits["dev"]
    assert Counter(example.label for example in dev) == {0: 193, 1: 111}


def test_the_real_wsc_fits_its_default_length_character_by_character(real_data: Path) -> None:
    """A marked span that is cut off stops the command; 128 tokens, the length of other tasks, were not enough."""
    task = TASKS["cluewsc2020"]
    texts = [example.texts[0] for rows in read_task(task, real_data / "clue").splits.values() for example in rows]
    assert 128 < max(map(len, texts)) < task.max_length - 2


def test_a_zip_and_its_unpacked_folder_give_the_same_examples(tmp_path: Path) -> None:
    write_task(tmp_path / "a", "c3", as_zip=False)
    archive = write_task(tmp_path, "c3")
    folder, zipped = read_task(TASKS["c3"], tmp_path / "a"), read_task(TASKS["c3"], tmp_path)
    assert folder.splits == zipped.splits
    assert folder.fingerprint() == zipped.fingerprint() == read_task(TASKS["c3"], archive).fingerprint()


def test_a_zip_is_read_in_place_and_its_paths_leave_nothing_anywhere(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with zipfile.ZipFile(inside / "afqmc_public.zip", "w") as archive:
        for file, content in task_files("afqmc").items():
            archive.writestr(f"../../outside/{file}", content)
    assert read_task(TASKS["afqmc"], inside).counts()["train"] == 32
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["afqmc_public.zip", "inside"]


def test_lines_end_with_a_line_feed_only() -> None:
    odd = "甲\u2028乙\u0085丙"
    rows = parse_json(
        "".join(json.dumps({"t": odd + str(i)}, ensure_ascii=False) + "\n" for i in range(2)), "file"
    ).rows
    assert [row.values["t"] for row in rows] == [odd + "0", odd + "1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": 2}\n{"a"}\n', "file:3: not JSON"),
        ('{"a": 1}\n{"a": 2}\n\n[1]\n', "file:4: expected a JSON object, got list"),
        ('{\n"a": 1,\n}', "file:3: not JSON"),
    ],
)
def test_what_is_not_json_is_named_by_its_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(text, "file")


def test_bytes_that_are_not_utf8_are_named_by_their_line(tmp_path: Path) -> None:
    folder = write_task(tmp_path, "afqmc", as_zip=False)
    content = (folder / "dev.json").read_bytes().split(b"\n")
    content[3] = b"\xff" + content[3]
    (folder / "dev.json").write_bytes(b"\n".join(content))
    with pytest.raises(ValueError, match=r"dev\.json:4 is not UTF-8"):
        read_task(TASKS["afqmc"], tmp_path)


def test_missing_data_say_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no data of tnews.*give a folder that holds tnews_public\.zip"):
        read_task(TASKS["tnews"], tmp_path)
    folder = write_task(tmp_path, "tnews", as_zip=False)
    (folder / "train.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no train\.json"):
        read_task(TASKS["tnews"], tmp_path)


def test_a_dev_row_without_a_label_is_refused(tmp_path: Path) -> None:
    folder = write_task(tmp_path, "afqmc", as_zip=False)
    (folder / "dev.json").write_text('{"sentence1": "甲", "sentence2": "乙"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="1 rows without a label"):
        read_task(TASKS["afqmc"], tmp_path)


@pytest.mark.parametrize("split", ["train", "dev"])
def test_training_and_dev_files_without_rows_are_refused(split: str, tmp_path: Path) -> None:
    folder = write_task(tmp_path, "afqmc", as_zip=False)
    (folder / f"{split}.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ValueError, match=f"{split} of afqmc has no rows"):
        read_task(TASKS["afqmc"], tmp_path)


def test_rows_of_another_task_are_added_and_told(tmp_path: Path) -> None:
    folder = write_task(tmp_path, "cmnli", as_zip=False)
    (folder / "train.json").unlink()
    write_task(tmp_path, "ocnli")
    found = read_task(TASKS["cmnli"], tmp_path, [TASKS["ocnli"]])
    assert found.counts()["train"] == 32
    assert "32 training rows of ocnli added" in describe(found)
    with pytest.raises(ValueError, match="rows of afqmc cannot train cmnli"):
        read_task(TASKS["cmnli"], tmp_path, [TASKS["afqmc"]])


def test_repeated_and_dropped_rows_are_told(tmp_path: Path) -> None:
    folder = write_task(tmp_path, "ocnli", as_zip=False)
    train = (folder / "train.50k.json").read_text(encoding="utf-8").split("\n")
    unlabelled = json.dumps({"sentence1": "甲", "sentence2": "乙", "label": "-"})
    (folder / "dev.json").write_text("\n".join([train[0], unlabelled, train[5]]), encoding="utf-8")
    found = read_task(TASKS["ocnli"], tmp_path)
    assert found.repeated_dev_rows == [0, 1]
    assert "dev 2 of 3000 official (1 without gold label dropped)" in describe(found)
    assert "2 dev rows also occur in train" in describe(found)


def test_a_csv_of_ones_own_is_read_with_its_labels_from_the_training_rows(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text('text,label\n"一,\n二",坏\n三,好\n', encoding="utf-8")
    (tmp_path / "dev.jsonl").write_text(
        '{"text": "四", "label": "好"}\n{"text": "五", "label": "坏"}\n', encoding="utf-8"
    )
    (tmp_path / "mood.yaml").write_text("kind: classification\ntrain: train.csv\ndev: dev.jsonl\n", encoding="utf-8")
    found = read_task(read_own_task(tmp_path / "mood.yaml"), tmp_path)
    assert found.task.labels == tuple(sorted(["坏", "好"]))
    assert [example.texts for example in found.splits["train"]] == [("一,\n二",), ("三",)]
    (tmp_path / "train.csv").write_text("text,label\n一\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"train\.csv:2 has 1 cells, the first line names 2: text, label"):
        read_task(read_own_task(tmp_path / "mood.yaml"), tmp_path)


def own(folder: Path, rows: list[dict[str, Any]], **keys: Any) -> TaskData:
    """Read a classification of one's own that has these rows as train and dev."""
    for name in ("train", "dev"):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    values = {"kind": "classification", "train": "train.jsonl", "dev": "dev.jsonl", **keys}
    (folder / "own.yaml").write_text(json.dumps(values), encoding="utf-8")
    return read_task(read_own_task(folder / "own.yaml"), folder)


@pytest.mark.parametrize("keys", [{}, {"labels": [False, True]}, {"labels": ["false", "true"]}])
def test_labels_may_be_true_and_false(keys: dict[str, Any], tmp_path: Path) -> None:
    found = own(tmp_path, [{"text": "甲", "label": True}, {"text": "乙", "label": False}], **keys)
    assert found.task.labels == ("false", "true")
    assert [example.label for example in found.splits["train"]] == [1, 0]


def test_a_space_around_a_label_is_no_part_of_it(tmp_path: Path) -> None:
    rows = [{"text": "甲", "label": "good "}, {"text": "乙", "label": "good"}, {"text": "丙", "label": "bad"}]
    assert own(tmp_path, rows).task.labels == ("bad", "good")


def test_a_minus_is_a_label_where_it_is_given_as_one(tmp_path: Path) -> None:
    rows = [{"text": "甲", "label": "+"}, {"text": "乙", "label": "-"}]
    found = own(tmp_path, rows, labels=["+", "-"])
    assert [example.label for example in found.splits["train"]] == [0, 1]
    assert not found.dropped
    with pytest.raises(ValueError, match=r"own has one class, \+; .* labelled '-' has no gold"):
        own(tmp_path, rows)


def test_a_file_beside_the_description_and_a_file_elsewhere_go_together(tmp_path: Path) -> None:
    rows = [{"text": "甲", "label": "x"}, {"text": "乙", "label": "y"}]
    (tmp_path / "data").mkdir()
    own(tmp_path / "data", rows)
    found = own(tmp_path, rows, train=str(tmp_path / "data" / "train.jsonl"), test="data/dev.jsonl")
    assert found.counts() == {"train": 2, "dev": 2, "test": 2}
    assert found.source == tmp_path.name


def test_a_task_of_the_hub_gets_the_names_of_its_labels_back(monkeypatch: pytest.MonkeyPatch) -> None:
    features = datasets.Features(
        {
            "sentence1": datasets.Value("string"),
            "sentence2": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["neutral", "entailment", "contradiction"]),
        }
    )
    rows = {"sentence1": ["甲", "乙"], "sentence2": ["丙", "丁"], "label": [1, 0]}
    named = datasets.Dataset.from_dict(rows, features=features)
    bare = datasets.Dataset.from_dict({**rows, "label": [-1, -1]}, features=features)
    found = datasets.DatasetDict({"train": named, "validation": named, "test": bare})
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: found)
    data = read_task(TASKS["ocnli"], "hub")
    assert [TASKS["ocnli"].labels[example.label or 0] for example in data.splits["dev"]] == ["entailment", "neutral"]
    assert [example.label for example in data.splits["test"]] == [None, None]
    with pytest.raises(ValueError, match="official archive only"):
        read_task(TASKS["cluener"], "hub")


def test_splits_that_number_their_labels_differently_are_read_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"train": ["contradiction", "neutral", "entailment"], "validation": ["neutral", "entailment", "neutral"]}
    bare = datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {"sentence1": list("甲乙丙"), "sentence2": list("丁戊己"), "label": labels}
            )
            for split, labels in given.items()
        }
    )
    found = bare.class_encode_column("label")
    neutral = [found[split].features["label"].str2int("neutral") for split in given]
    assert neutral == [2, 1]  # the trap: one label, two numbers
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: found)
    data = read_task(TASKS["ocnli"], "hub")
    for split, labels in zip(("train", "dev"), given.values(), strict=True):
        assert [TASKS["ocnli"].labels[example.label or 0] for example in data.splits[split]] == labels

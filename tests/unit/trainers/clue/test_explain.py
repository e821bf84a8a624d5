"""`explain` and `clue --explain`: weights against the model asked by hand, and those of a bag of words, all known."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from transformers import AutoTokenizer, set_seed

from chinese_modernbert.cli import main
from chinese_modernbert.evaluation.clue.readers import Example
from chinese_modernbert.evaluation.clue.tasks import TASKS, Task
from chinese_modernbert.trainers.clue.arguments import ClueArguments
from chinese_modernbert.trainers.clue.explain import explain_hardest
from chinese_modernbert.trainers.clue.explain_options import ExplainArguments
from chinese_modernbert.trainers.clue.inputs import SequenceClassificationInputs
from chinese_modernbert.trainers.clue.losses import TaskLoss
from chinese_modernbert.trainers.clue.models import build_model, save_model
from chinese_modernbert.trainers.clue.trainer import ClueTrainer, run_arguments
from reference.bag_of_words import CHARACTERS, SPECIAL, write_bag_of_words
from reference.clue_files import write_task
from reference.tiny_bert import write_tiny_bert
from reference.tiny_checkpoint import write_tiny_checkpoint

EXAMPLES = [Example(i, ("北京" if i % 2 else "上海会议", "天气很好" + "读书"[: i % 3]), i % 2) for i in range(6)]
ROWS: list[dict[str, Any]] = [
    {"id": 0, "text": "好坏快慢甲乙", "label": "甲"},
    {"id": 1, "text": "", "label": "甲"},
    {"id": 2, "text": "丙丁<b>戊己", "label": "乙"},
    {"id": 3, "text": "辛", "label": "乙"},
    {"id": 4, "text": "的快甲丁，辛辛。", "label": "乙"},
]


@pytest.fixture(scope="module", params=["chinese_modernbert", "bert"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    write = write_tiny_bert if request.param == "bert" else write_tiny_checkpoint
    return str(write(tmp_path_factory.mktemp(request.param)))


def trainer(checkpoint: str, tmp_path: Path) -> ClueTrainer:
    args = ClueArguments(output_dir=str(tmp_path), model=checkpoint, use_cpu=True, report_to="none")
    inputs = SequenceClassificationInputs(AutoTokenizer.from_pretrained(checkpoint), TASKS["afqmc"], 64)
    set_seed(1)
    model = build_model(TASKS["afqmc"], checkpoint)
    return ClueTrainer(model, run_arguments(args, inputs, 1e-3, 1), inputs, EXAMPLES, EXAMPLES, TaskLoss())


def test_a_tokens_weight_is_what_masking_it_costs(checkpoint: str, tmp_path: Path) -> None:
    made = trainer(checkpoint, tmp_path)
    (found,) = explain_hardest(made, EXAMPLES[3:4], 1)
    tokenizer: Any = made.inputs.tokenizer
    model: Any = made.model
    batch = tokenizer(*EXAMPLES[3].texts, return_tensors="pt")
    predicted = model(**batch).logits[0].argmax()
    places = [i for i, one in enumerate(batch["input_ids"][0].tolist()) if one not in tokenizer.all_special_ids]
    assert len(found["tokens"]) == len(places)
    base = model(**batch).logits.log_softmax(-1)[0, predicted]
    for place, (_, weight) in zip(places, found["tokens"], strict=True):
        ids = batch["input_ids"].clone()
        ids[0, place] = tokenizer.mask_token_id
        masked = model(**{**batch, "input_ids": ids}).logits.log_softmax(-1)[0, predicted]
        assert weight == pytest.approx((base - masked).item(), abs=2e-4)


def test_a_character_that_is_spelled_in_bytes_is_explained_as_one(checkpoint: str, tmp_path: Path) -> None:
    (found,) = explain_hardest(trainer(checkpoint, tmp_path), [Example(0, ("𠮷野家会议", "嚟"), 0)], 1)
    assert "".join(text for text, _ in found["tokens"]) == "𠮷野家会议嚟"


def test_the_hardest_rows_are_explained(checkpoint: str, tmp_path: Path) -> None:
    made = trainer(checkpoint, tmp_path)
    gold = made.predict_examples(EXAMPLES).gold_log_probability
    found = explain_hardest(made, EXAMPLES, 3)
    assert [one["id"] for one in found] == [EXAMPLES[i].identity for i in np.argsort(gold)[:3]]


def explain(folder: Path, model: str, rows: list[dict[str, Any]], *words: str) -> dict[str, Any]:
    """Run the command on rows and return its report."""
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    given = ["--data", str(file), "--output_dir", str(folder / "out"), "--segmenter", "none", "--use_cpu", *words]
    assert main(["explain", model, *given]) == 0
    return json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))


def part(table: np.ndarray, text: str) -> np.ndarray:
    """Return what a word adds to each logit."""
    return sum((table[len(SPECIAL) + CHARACTERS.index(one)] for one in text if one in CHARACTERS), np.zeros(2))


def test_the_known_weights_of_a_bag_of_words_come_out_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"id2label": {0: "甲", 1: "乙"}, "label2id": {"甲": 0, "乙": 1}}
    table = write_bag_of_words(tmp_path / "model", 2, **labels)
    found = explain(tmp_path, str(tmp_path / "model"), ROWS)
    assert [one["id"] for one in found["texts"]] == [0, 2, 3, 4]  # an empty text has no word
    for one in found["texts"]:
        whole = part(table, one["texts"][0])
        target = int(whole.argmax())
        assert one["predicted"] == one["explained"] == "甲乙"[target]
        assert one["value"] == pytest.approx(softmax(whole)[target], abs=1e-5)
        assert one["gold"] == ROWS[one["id"]]["label"]
        for word in one["words"]:
            assert one["texts"][0][word["start"] : word["end"]] == word["text"]
            without = softmax(whole - part(table, word["text"]))[target]
            assert word["leave_one_out"] == pytest.approx(np.log(softmax(whole)[target] / without), abs=1e-5)
            own = part(table, word["text"])
            assert word["gradient"] == pytest.approx(own[target] - own @ softmax(whole), abs=1e-5)
    assert list(found["methods"]) == ["leave_one_out", "gradient", "search", "random"]
    assert found["mask_reaction"]["distance"] == pytest.approx(0.1, abs=1e-6)  # one half each, and 甲 2 times of 5
    for name in ("leave_one_out", "search"):
        assert all(gain["value"] > 0 for gain in found["methods"][name]["better_than_random"].values())
    page, report = ((tmp_path / "out" / name).read_text(encoding="utf-8") for name in ("words.html", "report.md"))
    assert "<b>" not in page and "&lt;" in page and "| leave_one_out | " in report
    assert (tmp_path / "out" / "curves.png").stat().st_size > 0
    assert capsys.readouterr().out.strip().endswith("report.md")


@pytest.mark.parametrize("kind", ["multi_label", "regression"])
def test_other_kinds_are_explained_with_pairs_and_without_labels(kind: Any, checkpoint: str, tmp_path: Path) -> None:
    labels = ("甲", "乙") if kind == "multi_label" else ()
    task = Task("own", kind, "fields", {}, ("text",), labels, 64, 8, 1, 1e-4)
    torch.manual_seed(0)
    save_model(build_model(task, checkpoint), AutoTokenizer.from_pretrained(checkpoint), tmp_path / "model")
    rows = [{"a": one.texts[0], "b": one.texts[1]} for one in EXAMPLES]
    words = ["--fields", "a,b", "--methods", "leave_one_out,gradient", *(["--label", "乙"] if labels else [])]
    found = explain(tmp_path, str(tmp_path / "model"), rows, *words)
    assert {one["explained"] for one in found["texts"]} == {"乙" if labels else "label"}
    assert {word["part"] for one in found["texts"] for word in one["words"]} == {0, 1}
    assert all(one["gold"] is None for one in found["texts"])


def test_a_task_of_clue_is_read_by_its_name_with_the_labels_of_the_model(checkpoint: str, tmp_path: Path) -> None:
    write_task(tmp_path, "afqmc", rows=8, dev_rows=6)
    save_model(build_model(TASKS["afqmc"], checkpoint), AutoTokenizer.from_pretrained(checkpoint), tmp_path / "model")
    words = [
        "--task",
        "afqmc",
        "--data",
        str(tmp_path),
        "--methods",
        "leave_one_out",
        "--max_examples",
        "4",
        "--use_cpu",
    ]
    assert main(["explain", str(tmp_path / "model"), *words, "--output_dir", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert len(found["texts"]) == 4 and {one["gold"] for one in found["texts"]} <= {"0", "1"}
    assert set(found["mask_reaction"]["accuracy"]) == {"whole", "half", "none"}
    assert main(["explain", str(tmp_path / "model"), *words, "--output_dir", str(tmp_path / "out")]) == 2


ODD = [
    "臺灣好坏",
    "😀\U0001f468\u200d\U0001f469好",
    "ＡＢＣ 好　坏ｱ12",
    "\U00020bb7快e\u0301慢\ufe0f",
    "。！？",
    "[MASK]好[SEP]",
    "好坏快慢" * 25_000,
    "",
    " \u3000 ",
]


def test_odd_texts_are_explained_word_by_word_and_empty_ones_left_out(checkpoint: str, tmp_path: Path) -> None:
    task = Task("own", "classification", "fields", {}, ("text",), ("甲", "乙"), 64, 8, 1, 1e-4)
    torch.manual_seed(0)
    save_model(build_model(task, checkpoint), AutoTokenizer.from_pretrained(checkpoint), tmp_path / "model")
    words = ["--methods", "leave_one_out", "--random_orders", "1", "--max_length", "48"]
    found = explain(tmp_path, str(tmp_path / "model"), [{"text": text} for text in ODD], *words)
    assert [one["id"] for one in found["texts"]] == list(range(len(ODD) - 2))
    assert found["settings"]["texts that are cut"] == 1
    for one in found["texts"]:
        (text,) = one["texts"]
        assert text == ODD[one["id"]]
        assert all(text[word["start"] : word["end"]] == word["text"] != "" for word in one["words"])
        # A tokenizer of single characters drops marks that are no characters of their own.
        visible, read = (re.sub(r"[\s\u0301\ufe0f\u200d]", "", one) for one in (text, _read(one)))
        assert visible.startswith(read) and (visible == read or len(text) > 48)


def _read(one: dict[str, Any]) -> str:
    return "".join(word["text"] for word in one["words"])


def test_what_cannot_be_explained_is_one_line(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = {"id2label": {0: "甲", 1: "乙"}, "label2id": {"甲": 0, "乙": 1}}
    write_bag_of_words(tmp_path / "model", 2, **table)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    (tmp_path / "one.txt").write_text("甲\t甲\n", encoding="utf-8")
    bag = str(tmp_path / "model")
    for words, expected in (
        ((checkpoint, "--data", str(rows)), "which answers no rows; give a model that ends in"),
        ((bag, "--data", str(rows), "--label", "丙"), "label='丙' is none of the model's: 甲, 乙"),
        ((bag, "--data", str(rows), "--fields", "other"), "the row has no field 'other'"),
        ((bag, "--data", str(rows), "--label_field", "text"), "label '好坏快慢甲乙' of model is not one of 甲, 乙"),
        (
            (bag, "--data", str(tmp_path / "one.txt"), "--columns", "text,label"),
            "has 1 rows with a word; explain compares 2",
        ),
        ((bag, "--task", "tnew"), "task 'tnew' is neither one of afqmc"),
        ((bag, "--task", "cmrc2018"), "cmrc2018 is a task of answer, and "),
    ):
        assert main(["explain", *words, "--output_dir", str(tmp_path / "out"), "--use_cpu"]) == 2
        assert expected in (error := capsys.readouterr().err), error
        assert "Traceback" not in error


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "no texts are given; add --data"),
        ({"data": "a.jsonl", "methods": ["shap"]}, "methods=shap are not some of leave_one_out, gradient, search"),
        ({"data": "a.jsonl", "methods": ["gradient", "gradient"]}, "each once"),
        ({"data": "a.jsonl", "methods": ["gradient"], "beams": 2}, "beams=2 is read by search alone"),
        ({"data": "a.jsonl", "split": "test"}, "split='test' is read of a task alone"),
        ({"task": "tnews", "fields": ["a"]}, "fields is not read beside task"),
        ({"task": "tnews", "label_field": "a"}, "label_field is not read beside task"),
    ],
)
def test_options_that_do_not_act_are_refused(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected.replace("(", r"\(")):
        ExplainArguments(model="model", **given)

"""`predict` answers as a stock pipeline does, row by row in the order of the file, in every form."""

import csv
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

from chinese_modernbert.cli import main
from chinese_modernbert.evaluation.clue.forms import Layout, read_rows
from chinese_modernbert.evaluation.clue.labels import entity_spans
from chinese_modernbert.evaluation.clue.tasks import Task
from chinese_modernbert.trainers.clue.predict import tag_columns
from reference.fine_tuned import fine_tuned
from reference.tiny_bert import write_tiny_bert
from reference.tiny_checkpoint import write_tiny_checkpoint

TEXTS = ["北京会议", "散步，天气很好" * 3, "读书", "上海", "他喜欢公园" * 5]


@pytest.fixture(scope="module", params=["chinese_modernbert", "bert"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    write = write_tiny_bert if request.param == "bert" else write_tiny_checkpoint
    return str(write(tmp_path_factory.mktemp(request.param)))


def predict(folder: Path, model: str, rows: list[dict[str, Any]], *words: str, output: str = "out.jsonl") -> list[Any]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    arguments = ["--data", str(folder / "rows.jsonl"), "--output_file", str(folder / output), "--batch_size", "2"]
    assert main(["predict", model, *arguments, "--use_cpu", *words]) == 0
    return [row.values for row in read_rows(folder / output, Layout())]


@pytest.mark.parametrize(
    ("kind", "labels"), [("classification", tuple("好坏中")), ("multi_label", tuple("甲乙")), ("regression", ())]
)
def test_answers_about_a_text_are_those_of_the_pipeline(
    kind: str, labels: tuple[str, ...], checkpoint: str, tmp_path: Path
) -> None:
    model = fine_tuned(checkpoint, tmp_path / "model", kind, labels)
    found = predict(tmp_path, model, [{"id": i, "text": text} for i, text in enumerate(TEXTS)])
    served = pipeline("text-classification", model, top_k=None, trust_remote_code=True)
    assert [row["text"] for row in found] == TEXTS and [row["id"] for row in found] == list(range(5))
    for row, expected in zip(found, served(TEXTS), strict=True):
        scores = {one["label"]: one["score"] for one in expected}
        assert row["read"] == "whole"
        if kind == "regression":
            assert row["prediction"] == pytest.approx(scores["label"], abs=1e-4)
            continue
        assert row["probabilities"] == pytest.approx(scores, abs=1e-4)
        if kind == "classification":
            assert row["prediction"] == max(scores, key=lambda name: scores[name])
            assert row["probability"] == pytest.approx(max(scores.values()), abs=1e-4)
        else:
            assert row["prediction"] == [label for label in labels if scores[label] > 0.5]


def test_entities_are_exact_stretches_of_the_text(checkpoint: str, tmp_path: Path) -> None:
    model = fine_tuned(checkpoint, tmp_path / "model", "entities", ("place", "time"))
    found = predict(tmp_path, model, [{"text": text} for text in TEXTS])
    spans = [(row["text"], one) for row in found for one in row["prediction"]]
    assert spans and {one["label"] for _, one in spans} <= {"place", "time"}
    assert all(text[one["start"] : one["end"]] == one["text"] != "" for text, one in spans)
    tokenizer, tagger = AutoTokenizer.from_pretrained(model), AutoModelForTokenClassification.from_pretrained(model)
    for row in found:  # the first token of each entity, as the model and its own tokenizer have it
        encoded = tokenizer(row["text"], return_offsets_mapping=True, return_tensors="pt")
        offsets = encoded.pop("offset_mapping")[0].tolist()
        tags = [tagger.config.id2label[int(one)] for one in tagger.eval()(**encoded).logits[0].argmax(-1)]
        begins = {start for tag, (start, end) in zip(tags, offsets, strict=True) if tag.startswith("B") and end > start}
        assert begins <= {one["start"] for one in row["prediction"]} <= {start for start, _ in offsets}


def test_choices_and_answers_are_those_of_the_head(checkpoint: str, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    torch.manual_seed(0)
    model = AutoModelForMultipleChoice.from_pretrained(checkpoint)
    torch.nn.init.normal_(model.classifier.weight)
    for folder, saved in (
        (tmp_path / "choice", model),
        (tmp_path / "answer", AutoModelForQuestionAnswering.from_pretrained(checkpoint)),
    ):
        saved.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    choices = ["北京", "上海会议", "天气很好"]
    rows = [{"context": text, "question": "什么？", "choices": choices[: 2 + i % 2]} for i, text in enumerate(TEXTS)]
    found = predict(tmp_path, str(tmp_path / "choice"), rows)
    for row in found:
        pairs = tokenizer(
            [row["context"]] * len(row["choices"]), [f"什么？\n{one}" for one in row["choices"]], padding=True
        )
        batch = {name: torch.tensor([value]) for name, value in pairs.items()}
        logits = model.eval()(**batch).logits[0]
        assert row["prediction"] == row["choices"][int(logits.argmax())] == row["choices"][row["choice_number"]]
        assert row["probability"] == pytest.approx(float(logits.detach().softmax(-1).max()), abs=1e-4)
    rows = [{"question": "什么？", "context": text * 40} for text in TEXTS]
    found = predict(tmp_path, str(tmp_path / "answer"), rows, "--max_length", "32", "--overwrite")
    assert all(row["prediction"] in row["context"] for row in found)
    assert all(row["read"].startswith("in ") and row["read"].endswith(" windows") for row in found)


def test_a_text_that_is_cut_is_said_in_its_row_and_counted(
    checkpoint: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = fine_tuned(checkpoint, tmp_path / "model", "classification", ("a", "b"))
    with caplog.at_level(logging.INFO):
        found = predict(tmp_path, model, [{"text": text} for text in TEXTS], "--max_length", "8")
    tokenizer = AutoTokenizer.from_pretrained(model)
    expected = ["cut" if len(tokenizer(text)["input_ids"]) > 8 else "whole" for text in TEXTS]
    assert [row["read"] for row in found] == expected
    assert f"{expected.count('cut')} rows cut, {expected.count('whole')} rows whole" in caplog.text


@pytest.mark.parametrize("output", ["out.csv", "out.tsv"])
def test_a_table_holds_the_same_as_json_lines(output: str, checkpoint: str, tmp_path: Path) -> None:
    model = fine_tuned(checkpoint, tmp_path / "model", "classification", ("a", "b"))
    rows = [{"text": f'{text},"引"' if output.endswith("csv") else text, "n": i} for i, text in enumerate(TEXTS)]
    expected = predict(tmp_path, model, rows)
    found = predict(tmp_path, model, rows, output=output)
    assert [{**row, "probabilities": json.loads(row["probabilities"])} for row in found] == [
        {name: value if name == "probabilities" else str(value) for name, value in row.items()} for row in expected
    ]
    with (tmp_path / output).open(encoding="utf-8", newline="") as stream:
        assert next(csv.reader(stream, delimiter="\t" if output.endswith("tsv") else ","))[:3] == [
            "text",
            "n",
            "prediction",
        ]


@pytest.mark.parametrize(
    ("row", "words", "message"),
    [
        ({"txt": "甲"}, [], "rows.jsonl:2: the row has no field 'text', it has txt"),
        ({"text": 3}, [], "rows.jsonl:2: field 'text' is int, expected str"),
        ({"text": "甲", "prediction": 1}, [], "rows.jsonl:2: the row has a column 'prediction'"),
        ({"text": "甲\t乙"}, ["--output_file", "OUT.tsv"], "rows.jsonl:2: a cell holds a tab"),
        ({"text": "甲", "more": 1}, ["--output_file", "OUT.csv"], "rows.jsonl:2: columns text, more"),
        ({"text": "甲"}, ["--output_file", "OUT.txt"], "must end in .jsonl, .csv, .tsv"),
        ({"text": "甲"}, ["--kind", "entities"], "kind='entities' is not choice"),
        ({"text": "甲"}, ["--batch_size", "0"], "batch_size=0 is under 1"),
    ],
)
def test_a_wrong_row_is_named_by_its_line_and_nothing_is_written(
    row: dict[str, Any], words: list[str], message: str, checkpoint: str, tmp_path: Path, capsys
) -> None:
    model = fine_tuned(checkpoint, tmp_path / "model", "classification", ("a", "b"))
    (tmp_path / "rows.jsonl").write_text('{"text": "乙"}\n' + json.dumps(row), encoding="utf-8")
    words = [word.replace("OUT", str(tmp_path / "out")) for word in words]
    given = [] if "--output_file" in words else ["--output_file", str(tmp_path / "out.jsonl")]
    assert main(["predict", model, "--data", str(tmp_path / "rows.jsonl"), "--use_cpu", *given, *words]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if "error:" in one]
    assert message in line
    assert {path.name for path in tmp_path.iterdir()} == {"model", "rows.jsonl"}


def test_a_model_without_a_head_and_a_file_that_is_there_are_refused(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.txt").write_text("北京\n", encoding="utf-8")
    words = ["--data", str(tmp_path / "rows.txt"), "--use_cpu", "--output_file", str(tmp_path / "out.jsonl")]
    assert main(["predict", checkpoint, *words]) == 2
    assert "which answers no rows; give a model that ends in ForSequenceClassification" in capsys.readouterr().err
    (tmp_path / "out.jsonl").write_text("mine", encoding="utf-8")
    assert main(["predict", checkpoint, *words]) == 2
    assert "out.jsonl is there; give another output_file, or --overwrite" in capsys.readouterr().err
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == "mine"


def test_tags_of_another_scheme_are_read_as_ours() -> None:
    names = ["O", "B-x", "M-x", "E-x", "S-x", "I-y"]
    config: Any = type("Config", (), {"id2label": dict(enumerate(names))})
    assert tag_columns(["O", "B-x", "I-x", "B-y", "I-y"], config, "m") == [[0], [1, 4], [2, 3], [5], [5]]
    config.id2label = {0: "LABEL_0"}
    with pytest.raises(ValueError, match="m: tag 'LABEL_0' is not O or a type"):
        tag_columns(["O"], config, "m")


def test_predictions_of_entities_can_be_trained_on(checkpoint: str, tmp_path: Path) -> None:
    model = fine_tuned(checkpoint, tmp_path / "model", "entities", ("place",))
    predict(tmp_path, model, [{"text": text} for text in TEXTS])
    for row in read_rows(tmp_path / "out.jsonl", Layout()):
        task = Task("own", "entities", "cluener", {}, ("text",), ("place",), 64, 8, 1, 1e-4, label_field="prediction")
        spans = [(one["label"], one["start"], one["end"]) for one in row.values["prediction"]]
        assert entity_spans(row, task) == spans

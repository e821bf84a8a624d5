"""The command `predict`: rows of a file in, what a fine-tuned model says of each out, in the same order."""

from __future__ import annotations

import csv
import json
import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig

from ...evaluation.clue.forms import Layout, form_of, read_rows
from ...evaluation.clue.labels import tag_parts
from ...evaluation.clue.readers import READERS, Example
from ...evaluation.clue.rows import ParsedFile, Row
from ...evaluation.clue.tasks import Task
from ...runtime.files import open_atomically
from .forward import logits_of
from .inputs import Feature, Predictions, TaskInputs
from .kinds import INPUTS
from .models import PROBLEM_TYPES, fine_tuned_model, length_limit
from .predict_options import PredictArguments
from .span_inputs import TokenClassificationInputs

logger = logging.getLogger(__name__)

# Rows that are tokenized and answered together. Our default.
ROWS_AT_ONCE = 1_024
DECIMALS = 6
READ = "read"
HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")
FIELDS = {"answer": ("question", "context"), "choice": ("context", "question")}
READER = {"entities": "cluener", "choice": "choices"}
# Tags of one entity by the two that an answer is read off: M and E continue as I does, S begins as B does.
BEGINS_OR_CONTINUES = {"B": "B", "S": "B", "I": "I", "M": "I", "E": "I"}


def run_predict(args: PredictArguments) -> Path:
    """Answer every row of a file.

    Returns:
        The file of answers: each row with `prediction` and, by kind, `probability` and `probabilities`; `read` says
        whether the text was read whole, cut, or in windows.

    Raises:
        ValueError: If the model has no head of a task, or a row is wrong; with file and line.
    """
    form_of(args.data)
    answer = load_answers(args)
    counts: dict[str, int] = {}
    with open_atomically(args.output_file) as stream:
        write = _writer(stream, args.output_file)
        layout = Layout(tuple(args.columns), answer.task.fields, label_field="label", is_tagged=False)
        rows = read_rows(args.data, layout)
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            for row, found in zip(chunk, answer(chunk), strict=True):
                write(row.location, _joined(row, found))
                counts[found[READ]] = counts.get(found[READ], 0) + 1
    if not counts:
        raise ValueError(f"{args.data} holds no row")
    logger.info("%s: %s", args.data, ", ".join(f"{count:,} rows {how}" for how, count in sorted(counts.items())))
    return Path(args.output_file)


def load_answers(args: PredictArguments) -> Answers:
    """Return what answers rows: the fine-tuned model, with the inputs of its task.

    Raises:
        ValueError: If the model has no head of a task.
    """
    config = AutoConfig.from_pretrained(args.model, trust_remote_code=args.trust_remote_code)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer or args.model, trust_remote_code=args.trust_remote_code)
    task = task_of(config, args.model, args.kind, args.fields, args.batch_size)
    limit = length_limit(args.model, tokenizer, args.trust_remote_code)
    inputs = INPUTS[task.kind](tokenizer, task, args.max_length or limit, limit)
    if isinstance(inputs, TokenClassificationInputs):  # as the model was trained, whether it splits Han or not
        inputs.tokenizer = inputs.tagging.tokenizer = tokenizer
    device = torch.device("cuda" if torch.cuda.is_available() and not args.use_cpu else "cpu")
    model = fine_tuned_model(args.model, task.kind, args.trust_remote_code).to(device)
    return Answers(model, inputs, config, args)


def task_of(
    config: PretrainedConfig, model: str, kind: str = "", fields: Sequence[str] = (), batch_size: int = 32
) -> Task:
    """Return the task that a fine-tuned model was trained for, as its configuration tells it.

    Args:
        config: its configuration
        model: its folder or name, for the task's name and messages
        kind: kind of a model with one output, if it is not a number: `choice`
        fields: columns of the texts; if none: those of the kind
        batch_size: rows at once

    Raises:
        ValueError: If it has no head of a task.
    """
    names = tuple(config.architectures or ())
    head = next((one for one in HEADS for name in names if name.endswith(one)), None)
    if head is None:
        raise ValueError(
            f"{model} is {', '.join(names) or 'no model'}, which answers no rows; give a model that ends in "
            f"{', '.join(HEADS)}, such as clue --save_model keeps"
        )
    labels = tuple(str(name) for _, name in sorted((config.id2label or {}).items(), key=lambda pair: int(pair[0])))
    found: Any = {HEADS[1]: "entities", HEADS[2]: "answer", HEADS[3]: "choice"}.get(head) or kind
    if not found:
        problem = config.problem_type or ("regression" if len(labels) == 1 else PROBLEM_TYPES["classification"])
        found = next(one for one, name in PROBLEM_TYPES.items() if name == problem)
    if found == "entities":
        labels = tuple(dict.fromkeys(one for name in labels if (one := tag_parts(name, model)[1])))
    return Task(
        name=Path(model).name,
        kind=found,
        reader=READER.get(found, "fields"),
        files={},
        fields=tuple(fields) or FIELDS.get(found, ("text",)),
        labels=labels if found in ("classification", "multi_label", "entities") else (),
        max_length=0,
        batch_size=batch_size,
        epochs=0,
        learning_rate=0,
    )


def predict_command(task: Task, folder: Path, trust_remote_code: bool = False) -> str | None:
    """Return the command that answers rows with a model that `clue` saved; the name of the file is left to the reader.

    Args:
        task: what the model was trained on
        folder: of the model
        trust_remote_code: whether the model is loaded with its own code

    Returns:
        The command, or None where rows have a form of their own, which `predict` does not read.
    """
    if task.kind == "spans" or task.reader in ("csl", "chid"):
        return None
    words = ["chinese-modernbert", "predict", str(folder), "--data", "FILE"]
    if task.kind == "choice":
        words += ["--kind", task.kind]
    if task.reader == READER.get(task.kind, "fields") and task.fields != FIELDS.get(task.kind, ("text",)):
        words += ["--fields", ",".join(task.fields)]
    return shlex.join([*words, "--trust_remote_code"] if trust_remote_code else words)


class Answers:
    """What a model says of rows.

    Args:
        model: the fine-tuned model
        inputs: inputs of its task
        config: its configuration
        args: options of the command
    """

    def __init__(self, model: nn.Module, inputs: TaskInputs, config: PretrainedConfig, args: PredictArguments) -> None:
        self.model, self.inputs, self.args, self.task = model, inputs, args, inputs.task
        self.columns = None
        if isinstance(inputs, TokenClassificationInputs):
            self.columns = tag_columns(inputs.tagging.tags, config, args.model)
        self.batch_size = max(args.batch_size // 4, 1) if self.task.kind == "choice" else args.batch_size

    def __call__(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Return what is added to each row."""
        examples = [self._example(row) for row in rows]
        features = self.inputs.encode(examples)
        found = self.predict(features, examples)
        cut, windows = self.inputs.cut_numbers(examples), np.bincount([one["example"] for one in features])
        answers = []
        for number, (example, value) in enumerate(zip(examples, found.values, strict=True)):
            how = f"in {windows[number]} windows" if windows[number] > 1 else "whole"
            chances = found.probabilities[number] if len(found.probabilities) else None
            answers.append({**self._answer(example, value, chances), READ: "cut" if number in cut else how})
        return answers

    def predict(self, features: Sequence[Feature], examples: Sequence[Example]) -> Predictions:
        """Return what the model says of examples, in the form that scores compare.

        Args:
            features: what the inputs encode the examples to
            examples: without labels
        """
        logits = logits_of(self.model, self.inputs, features, self.batch_size, self.args.bf16)
        if self.columns is not None:
            logits = np.stack([logits[..., columns].max(axis=-1) for columns in self.columns], axis=-1)
        return self.inputs.decode(logits, features, examples)

    def _example(self, row: Row) -> Example:
        labels = {self.task.label_field, "labels"} - {*self.task.fields}  # not read, whatever they hold
        bare = Row(row.location, {name: value for name, value in row.values.items() if name not in labels})
        return next(iter(READERS[self.task.reader]([ParsedFile(row.location, [bare], None)], self.task)))

    def _answer(self, example: Example, value: Any, chances: np.ndarray | None) -> dict[str, Any]:
        kind, labels = self.task.kind, self.task.labels
        if kind == "choice":
            return {
                "prediction": example.choices[value],
                "probability": _rounded(chances, value),
                "choice_number": value,
            }
        if kind == "entities":
            parts = [key.split(":", 2) for key in value]
            spans = [{"start": int(start), "end": int(end), "label": label} for start, end, label in parts]
            return {"prediction": [{**one, "text": example.texts[0][one["start"] : one["end"]]} for one in spans]}
        if kind not in ("classification", "multi_label") or chances is None:
            return {"prediction": round(value, DECIMALS) if isinstance(value, float) else value}
        table = {"probabilities": {name: _rounded(chances, i) for i, name in enumerate(labels)}}
        if kind == "multi_label":
            return {"prediction": [labels[one] for one in value], **table}
        return {"prediction": labels[value], "probability": _rounded(chances, value), **table}


def _rounded(chances: np.ndarray | None, number: int) -> float | None:
    return None if chances is None else round(float(chances[number]), DECIMALS)


def tag_columns(tags: Sequence[str], config: PretrainedConfig, model: str) -> list[list[int]]:
    """Return for each tag of ours the outputs of a model that mean it, of whatever scheme its tags are.

    Raises:
        ValueError: If a label of the model is no tag.
    """
    columns: dict[str, list[int]] = {tag: [] for tag in tags}
    for number, name in (config.id2label or {}).items():
        prefix, kind = tag_parts(name, model)
        columns[f"{BEGINS_OR_CONTINUES[prefix]}-{kind}" if kind else "O"].append(int(number))
    # A scheme without one of the two (IO) begins an entity with the other.
    other = {"B": "I", "I": "B"}
    return [found or columns[f"{other[tag[0]]}{tag[1:]}"] for tag, found in columns.items()]


def _joined(row: Row, found: Mapping[str, Any]) -> dict[str, Any]:
    taken = [name for name in found if name in row.values]
    if taken:
        raise ValueError(
            f"{row.location}: the row has a column '{taken[0]}', which the answer would replace; rename it"
        )
    return {**row.values, **found}


def _writer(stream: IO[str], name: str) -> Callable[[str, dict[str, Any]], None]:
    """Return what writes a row; in a table, lists and mappings are JSON and all rows have the first one's columns."""
    if name.endswith(".jsonl"):
        return lambda _, values: (stream.write(json.dumps(values, ensure_ascii=False) + "\n"), None)[1]
    is_tabs, names = name.endswith(".tsv"), list[str]()
    quoted = csv.writer(stream, lineterminator="\n")

    def write(location: str, values: dict[str, Any]) -> None:
        if not names:
            names.extend(values)
            write_cells(location, names)
        if list(values) != names:
            raise ValueError(f"{location}: columns {', '.join(values)} differ from the first row's; write .jsonl")
        write_cells(location, [_cell(value) for value in values.values()])

    def write_cells(location: str, cells: Sequence[str]) -> None:
        if not is_tabs:
            quoted.writerow(cells)
        elif any(set(cell) & set("\t\n\r") for cell in cells):
            raise ValueError(f"{location}: a cell holds a tab or a line feed, which .tsv cannot; write .csv or .jsonl")
        else:
            stream.write("\t".join(cells) + "\n")

    return write


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

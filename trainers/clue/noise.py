"""The command `noise`: spelling errors in the texts of labelled rows, and the score of a model before and after.

Only Han characters change, each into one that sounds or looks alike, so that labels and the places of entities hold.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...evaluation.clue.own_tasks import OWN_KINDS
from ...runtime.counter_random import stream_key
from ...runtime.files import open_atomically, write_text_atomically
from ...runtime.options import argument

if TYPE_CHECKING:
    from ...evaluation.clue.readers import Example
    from ...evaluation.clue.rows import Row
    from ...evaluation.clue.tasks import Task
    from ...evaluation.spelling import SpellingNoise
    from .predict import Answers

logger = logging.getLogger(__name__)

REPORT, REPORT_JSON, NOISY = "report.md", "report.json", "noisy.jsonl"


@dataclass
class NoiseArguments:
    """Which rows to make errors in, of which kinds and how many, and which model to score on them."""

    data: str = argument("", "File of rows with labels; may stand first. Forms as in a task of your own.", group="Data")
    fields: list[str] = argument(list, "Columns of the texts; if none: those of the model's kind, or text.", names=True)
    label_field: str = argument("label", "Column of the label.")
    columns: list[str] = argument(list, "Names of the columns where the first line is a row.", names=True)
    output_dir: str = argument("noise", "Folder for the noisy rows and the report.", group="Output")
    overwrite: bool = argument(False, "Replace them in output_dir.")

    confusion: list[str] = argument(list, "Files of confusion sets, each a kind of error.", group="Errors", names=True)
    shares: list[float] = argument(list, "How often each kind is drawn; if none: all alike.", within="[0, inf)")
    rate: float = argument(0.1, "Chance of an error at each character that a set knows.", within="(0, 1]")
    seed: int = argument(0, "Names the family of errors.")

    model: str = argument("", "Fine-tuned model to score; if none, only the rows are written.", group="Model")
    kind: str = argument("", "choice: the one output of the model scores the choices of a row.")
    tokenizer: str = argument("", "Folder or name of the tokenizer, if it is not the model's.")
    trust_remote_code: bool = argument(False, "Allow the model's own code from its folder or the Hub.")
    max_length: int = argument(0, "Longest input in tokens; 0: all that the model takes.", within="[0, inf)")
    batch_size: int = argument(32, "Rows at once.", within="[1, inf)")
    bf16: bool = argument(False, "Autocast to bfloat16.")
    use_cpu: bool = argument(False, "Do not use a GPU.")

    def __post_init__(self) -> None:
        if not self.data or not self.confusion:
            lacking = "confusion" if self.data else "data"
            raise ValueError(f"no {lacking} is given; name a file with --{lacking}")
        of_model = ("kind", "tokenizer", "max_length", "bf16", "trust_remote_code", "use_cpu")
        idle = [name for name in of_model if getattr(self, name)]
        idle += ["batch_size"] if self.batch_size != NoiseArguments.batch_size else []
        if idle and not self.model:
            raise ValueError(f"{idle[0]} is read with a model alone; give --model, or leave it out")


def run_noise(args: NoiseArguments) -> Path:
    """Write the noisy rows, and with a model the report of its scores before and after.

    Returns:
        The report, or the noisy rows where no model is given.

    Raises:
        FileExistsError: If output_dir holds noisy rows or a report, and overwrite is off.
        ValueError: For rows or confusion sets that cannot be read, or a model that does not fit the rows.
    """
    from ...evaluation.clue.forms import Layout, form_of, read_rows
    from ...evaluation.spelling import read_noise

    output = Path(args.output_dir)
    for name in (NOISY, REPORT):
        if (output / name).exists() and not args.overwrite:
            raise FileExistsError(f"{output / name} is there; give another output_dir, or --overwrite")
    form_of(args.data)
    noise = read_noise(args.confusion, args.shares, args.rate, args.seed)
    answers = _load(args, output) if args.model else None
    fields = answers.task.fields if answers else tuple(args.fields) or ("text",)
    is_tagged = answers is not None and answers.task.kind == "entities"
    rows = list(read_rows(args.data, Layout(tuple(args.columns), fields, args.label_field, is_tagged)))
    if not rows:
        raise ValueError(f"{args.data} holds no row")
    noisy = [noisy_row(row, fields, noise, args.label_field) for row in rows]
    for name in (REPORT, REPORT_JSON):  # of other rows than those that are written now
        (output / name).unlink(missing_ok=True)
    with open_atomically(output / NOISY) as stream:
        for row in noisy:
            stream.write(json.dumps(row.values, ensure_ascii=False) + "\n")
    if answers is None:
        return output / NOISY
    return write_noise_report(output, answers, replace(answers.task, label_field=args.label_field), rows, noisy, args)


def noisy_row(row: Row, fields: Sequence[str], noise: SpellingNoise, label_field: str = "label") -> Row:
    """Return a row with errors in its texts; a list of tokens keeps the length of every token.

    The label is kept; where it names mentions by their text beside their places, they are named as they are now.

    Raises:
        ValueError: With file and line, if a column is missing or holds no text.
    """
    values = dict(row.values)
    for name in ("tokens",) if "tokens" in values and fields == ("text",) and "text" not in values else fields:
        value = row.get(name, (str, list))
        parts = [value] if isinstance(value, str) else list(row.texts(name))
        text = "".join(parts)
        changed, start = noise.corrupt(text, stream_key(text)), 0
        cut = []
        for part in parts:
            cut.append(changed[start : start + len(part)])
            start += len(part)
        values[name] = cut[0] if isinstance(value, str) else cut
    if label_field in values and isinstance(values.get(fields[0]), str):
        try:
            values[label_field] = _renamed(values[label_field], values[fields[0]])
        except (TypeError, ValueError, KeyError) as error:
            raise ValueError(f"{row.location}: the mentions of '{label_field}' have no places of the text") from error
    return row._replace(values=values)


def _renamed(label: Any, text: str) -> Any:
    """Return a label of entities with the mentions of a text at the same places; any other label as it is."""
    if isinstance(label, dict) and all(isinstance(one, dict) for one in label.values()):
        places = {kind: [place for found in one.values() for place in found] for kind, one in label.items()}
        return {kind: _by_mention(found, text) for kind, found in places.items()}
    if isinstance(label, list):
        named = [isinstance(one, dict) and "text" in one for one in label]
        return [
            {**one, "text": text[one["start"] : one["end"]]} if is_named else one
            for one, is_named in zip(label, named, strict=True)
        ]
    return label


def _by_mention(places: Sequence[Sequence[int]], text: str) -> dict[str, list[Sequence[int]]]:
    mentions: dict[str, list[Sequence[int]]] = {}
    for first, last in places:
        mentions.setdefault(text[first : last + 1], []).append([first, last])
    return mentions


def _load(args: NoiseArguments, output: Path) -> Answers:
    from .predict import load_answers
    from .predict_options import PredictArguments

    shared = ("model", "data", "fields", "columns", "kind", "tokenizer", "trust_remote_code", "max_length")
    given = {name: getattr(args, name) for name in (*shared, "batch_size", "bf16", "use_cpu")}
    answers = load_answers(PredictArguments(**given, output_file=str(output / NOISY), overwrite=True))
    if answers.task.kind not in OWN_KINDS:
        raise ValueError(f"{args.model} answers with {answers.task.kind}; noise scores {', '.join(OWN_KINDS)}")
    return answers


def write_noise_report(
    output: Path, answers: Answers, task: Task, rows: Sequence[Row], noisy: Sequence[Row], args: NoiseArguments
) -> Path:
    """Write what a model scores on rows and on their noisy twins, Markdown and JSON.

    Args:
        output: folder of the report
        answers: the model
        task: its task, with the column of the label
        rows, noisy: as many, in the same order
        args: options of the command, for the settings

    Raises:
        ValueError: If no row has a label.
    """
    from ...evaluation.clue.scores import example_scores, score
    from ...evaluation.clue.significance import compare
    from ...evaluation.clue.tasks import COMPARED_METRIC
    from ...evaluation.language_modeling.loading import public_name
    from ...runtime.environment import describe_environment

    examples = [_examples(task, part, args.data) for part in (rows, noisy)]
    values = [_values(answers, part) for part in examples]
    scores = {name: score(task, *pair) for name, *pair in zip(("clean", "noisy"), values, examples, strict=True)}
    clean, changed = (example_scores(task, *pair) for pair in zip(values, examples, strict=True))
    loss = compare(changed, clean)
    texts = [["".join(example.texts) for example in part] for part in examples]
    errors = [sum(a != b for a, b in zip(*pair, strict=True)) for pair in zip(*texts, strict=True)]
    facts = {
        "rows": len(examples[0]),
        "rows with errors": sum(map(bool, errors)),
        "wrong characters": f"{sum(errors) / max(1, sum(map(len, texts[0]))):.2%}",
        "answers that changed": sum(a != b for a, b in zip(*values, strict=True)),
    }
    settings = {
        "model": public_name(args.model),
        "data": Path(args.data).name,
        "confusion": [Path(name).name for name in args.confusion],
        **{name: getattr(args, name) for name in ("shares", "rate", "seed")},
    }
    content = {
        "scores": scores,
        "difference": {"metric": COMPARED_METRIC[task.kind], **vars(loss)},
        "facts": facts,
        "settings": settings,
        "environment": describe_environment(),
    }
    write_text_atomically(output / REPORT_JSON, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    write_text_atomically(output / REPORT, "\n".join(_lines(content)) + "\n")
    return output / REPORT


def _examples(task: Task, rows: Sequence[Row], location: str) -> list[Example]:
    from ...evaluation.clue.readers import READERS
    from ...evaluation.clue.rows import ParsedFile

    found = list(READERS[task.reader]([ParsedFile(location, list(rows), None)], task))
    if not found or not all(one.has_gold for one in found):
        raise ValueError(
            f"{location} has rows without a label in '{task.label_field}', which have no score; give labels"
        )
    return found


def _values(answers: Answers, examples: Sequence[Example]) -> list[Any]:
    """Return what the model says of examples, whose labels it does not see."""
    bare = [replace(one, label=None, entities=None) for one in examples]
    return list(answers.predict(answers.inputs.encode(bare), bare).values)


def _lines(content: Mapping[str, Any]) -> list[str]:
    from ...runtime.markdown import markdown_table

    scores, loss = content["scores"], content["difference"]
    metrics = list(scores["clean"])
    rows = [(name, *(f"{found[metric]:.2f}" for metric in metrics)) for name, found in scores.items()]
    lines = [
        "# Spelling errors",
        "",
        *markdown_table(("rows", *metrics), rows),
        "",
        f"Noisy minus clean, {loss['metric']}: {loss['difference']:+.2f} ({loss['low']:+.2f} to {loss['high']:+.2f}, "
        f"95 % by a paired bootstrap of the rows), p = {loss['p_value']:.4f}.",
    ]
    for title in ("facts", "settings", "environment"):
        lines += ["", f"## {title.capitalize()}", "", *(f"- {name}: {value}" for name, value in content[title].items())]
    return lines

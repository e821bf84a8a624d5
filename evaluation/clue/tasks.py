"""What a task is: those of CLUE, from the table tasks.yaml, and a task of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import yaml

Kind = Literal["classification", "spans", "choice", "answer", "entities"]

MAIN_METRIC: Mapping[str, str] = {
    "classification": "accuracy",
    "spans": "accuracy",
    "choice": "accuracy",
    "answer": "average",
    "entities": "f1",
}
"""The metric that a kind of task is selected and reported by. "average" is the mean of exact match and F1, as the
official CMRC 2018 script ranks by."""

# What the rows are taken from, shown in reports.
OFFICIAL = "official CLUE PyTorch recipe"

CLUE = "Xu et al. 2020, CLUE: A Chinese Language Understanding Evaluation Benchmark, arXiv 2004.05986"
NONE_STATED = "none stated"


@dataclass(frozen=True)
class Task:
    """One task: where its rows are, what they hold, how a model is trained and scored on them.

    Attributes:
        name: name in commands, files and reports
        kind: which input, head and score it takes
        reader: how a file becomes examples, a name of `readers.READERS`
        files: split -> names of its files in the official archive `<archive>_public.zip`, read one after another;
            "train" and "dev" must be there, the others are used where they are
        fields: columns of the texts, one or two, in the order in which the model reads them
        labels: labels as they are written in the files; empty where every row brings its own choices
        max_length: longest input in tokens
        batch_size: rows of an optimizer step
        epochs: passes over the training rows
        learning_rate: peak, where no grid is searched
        recipe: source of the four values above
        label_field: column of the label
        main_metric: the metric that is selected and reported by; empty: `MAIN_METRIC` of the kind
        archive: name of the official archive; empty: the task's name
        submissions: split without labels -> file name that the CLUE site expects
        rows: split -> official number of rows (questions where a row has several), before any is dropped
        hub: data set on the Hugging Face Hub, its configuration being the task's name
        hub_revision: commit of that data set; None: whatever is newest
        licence: as stated by the source
        citation: where it was published
    """

    name: str
    kind: Kind
    reader: str
    files: Mapping[str, tuple[str, ...]]
    fields: tuple[str, ...]
    labels: tuple[str, ...]
    max_length: int
    batch_size: int
    epochs: float
    learning_rate: float
    recipe: str = OFFICIAL
    label_field: str = "label"
    main_metric: str = ""
    archive: str = ""
    submissions: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    hub: str | None = "clue/clue"
    hub_revision: str | None = None
    licence: str = NONE_STATED
    citation: str = CLUE

    @property
    def metric(self) -> str:
        """The metric that the task is selected and reported by."""
        return self.main_metric or MAIN_METRIC[self.kind]


def _read_table(path: Path) -> dict[str, Task]:
    """Return the tasks of a YAML file whose keys are the attributes of `Task`, under names in the file's order."""
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    defaults = rows.pop("defaults")
    return {name: _task(name, {**defaults, **row}) for name, row in rows.items()}


def _task(name: str, row: dict[str, Any]) -> Task:
    lists = {key: tuple(row[key]) for key in ("fields", "labels")}
    return Task(name, **{**row, **lists, "files": {split: tuple(names) for split, names in row["files"].items()}})


TASKS: Mapping[str, Task] = _read_table(Path(__file__).with_suffix(".yaml"))
"""The tasks by name, in the order of reports."""


@dataclass
class OwnTask:
    """What a YAML file says about a task of one's own.

    Attributes:
        kind: "classification" (one or two texts), "entities" (tokens or spans) or "choice"
        train, dev, test: files, seen from the folder of the YAML file, `.jsonl`, `.json` (one object a line) or `.csv`;
            `test` may be left out
        fields: columns of the texts, by kind 1 or 2, 1, 2; default: text, text, context and question
        label_field: column of the label
        labels: labels in order; default: those of the training file, sorted. A row labelled "-" has no gold label,
            unless "-" is one of them.
        metric: "accuracy" or "macro_f1" for a classification; the other kinds have one metric
        max_length, batch_size, epochs, learning_rate: default 128, 16, 3, 2e-5 (ours)
    """

    kind: str
    train: str
    dev: str
    test: str = ""
    fields: list[str] = field(default_factory=list)
    label_field: str = "label"
    labels: list[str] = field(default_factory=list)
    metric: str = ""
    max_length: int = 128
    batch_size: int = 16
    epochs: float = 3
    learning_rate: float = 2e-5


OWN_FIELDS = {"classification": ("text",), "entities": ("text",), "choice": ("context", "question")}
OWN_FIELD_COUNTS = {"classification": (1, 2), "entities": (1,), "choice": (2,)}
OWN_READERS = {"classification": "fields", "entities": "cluener", "choice": "choices"}
OWN_METRICS = {"classification": ("accuracy", "macro_f1"), "entities": ("f1",), "choice": ("accuracy",)}


def label_text(value: object) -> str:
    """Return a label as labels are compared: without spaces around it, true and false as JSON writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def read_own_task(path: str | Path) -> Task:
    """Return the task that a YAML file describes; its name is the file's.

    Raises:
        FileNotFoundError: If the file, or one that it names, is not there.
        ValueError: If a key is unknown or missing, or a value is not one that `OwnTask` allows.
    """
    file = Path(path)
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    known = [one.name for one in fields(OwnTask)]
    if not isinstance(values, dict) or not set(values) <= set(known):
        unknown = sorted(set(values) - set(known)) if isinstance(values, dict) else values
        raise ValueError(f"{file}: unknown keys {unknown}; a task has {', '.join(known)}")
    missing = [name for name in ("kind", "train", "dev") if not values.get(name)]
    if missing:
        raise ValueError(f"{file}: a task needs {', '.join(missing)}")
    own = OwnTask(**values)
    _check_own_task(own, file)
    splits = {
        split: str(file.absolute().parent / getattr(own, split))
        for split in ("train", "dev", "test")
        if getattr(own, split)
    }
    for split, path in splits.items():
        if not Path(path).is_file():
            raise FileNotFoundError(f"{file}: the {split} file {path} is not there")
    return Task(
        name=file.stem,
        kind=own.kind,  # pyright: ignore[reportArgumentType]
        reader=OWN_READERS[own.kind],
        files={split: (path,) for split, path in splits.items()},
        fields=tuple(own.fields or OWN_FIELDS[own.kind]),
        labels=tuple(map(label_text, own.labels or ())),
        max_length=int(own.max_length),
        batch_size=int(own.batch_size),
        epochs=float(own.epochs),
        learning_rate=float(own.learning_rate),
        recipe="the task's own file",
        label_field=own.label_field,
        main_metric=own.metric,
        hub=None,
        submissions={"test": f"{file.stem}_predict.json"},
        citation="",
    )


def _check_own_task(own: OwnTask, file: Path) -> None:
    """Raise a ValueError where a value is not one that its kind allows."""
    if own.kind not in OWN_FIELDS:
        raise ValueError(f"{file}: kind={own.kind!r} is not one of {', '.join(OWN_FIELDS)}")
    if own.metric and own.metric not in OWN_METRICS[own.kind]:
        raise ValueError(f"{file}: metric={own.metric!r} is not one of {', '.join(OWN_METRICS[own.kind])}")
    counts, given = OWN_FIELD_COUNTS[own.kind], own.fields or list(OWN_FIELDS[own.kind])
    if not isinstance(given, list) or len(given) not in counts or not all(isinstance(name, str) for name in given):
        expected = " or ".join(map(str, counts))
        raise ValueError(f"{file}: fields={given!r} is not a list of column names, {expected} for {own.kind}")
    if own.labels and not isinstance(own.labels, list):
        raise ValueError(f"{file}: labels={own.labels!r} is not a list")

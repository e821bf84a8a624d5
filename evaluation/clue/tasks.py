"""What a task is, and those of CLUE, from the table tasks.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

Kind = Literal["classification", "multi_label", "regression", "spans", "choice", "answer", "entities"]

MAIN_METRIC: Mapping[str, str] = {
    "classification": "accuracy",
    "multi_label": "f1",
    "regression": "pearson",
    "spans": "accuracy",
    "choice": "accuracy",
    "answer": "average",
    "entities": "f1",
}
"""The metric that a kind of task is selected and reported by. "average" is the mean of exact match and F1, as the
official CMRC 2018 script ranks by; the F1 of several labels is taken over all rows and labels (micro)."""

COMPARED_METRIC: Mapping[str, str] = {**MAIN_METRIC, "regression": "r2"}
"""The metric of a kind that is a ratio of sums over rows, so that two models can be compared row by row."""

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
        labels: names of the labels; empty where a row has a number or brings its own choices
        label_names: label as it is written in the files -> its name, where the two differ
        max_length: longest input in tokens
        batch_size: rows of an optimizer step
        epochs: passes over the training rows
        learning_rate: peak, where no grid is searched
        recipe: source of the four values above
        label_field: column of the label
        separator: what stands between several labels in one cell of a table
        columns: names of the columns of files of one's own that do not name them
        own_file: the file that describes a task of one's own; empty for those of CLUE
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
    label_names: Mapping[str, str] = field(default_factory=dict)
    separator: str = ","
    columns: tuple[str, ...] = ()
    own_file: str = ""
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

    def label_name(self, written: object) -> str:
        """Return the name of a label as it is written in a file."""
        text = label_text(written)
        return self.label_names.get(text, text)


def label_text(value: object) -> str:
    """Return a label as labels are compared: without spaces around it, true and false as JSON writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


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

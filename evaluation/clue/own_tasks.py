"""A task of one's own: what its YAML file says, and the table of kinds that it may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from ...runtime.options import argument, load_recipe
from .forms import form_of
from .labels import tag_parts
from .tasks import TASKS, Task, label_text


@dataclass(frozen=True)
class OwnKind:
    """A kind of task of one's own.

    Attributes:
        fields: default columns of the texts
        counts: how many columns there may be
        reader: a name of `readers.READERS`
        metrics: those that a task may be selected and reported by, the default first
    """

    fields: tuple[str, ...]
    counts: tuple[int, ...]
    reader: str
    metrics: tuple[str, ...]


OWN_KINDS: Mapping[str, OwnKind] = {
    "classification": OwnKind(("text",), (1, 2), "fields", ("accuracy", "macro_f1")),
    "multi_label": OwnKind(("text",), (1, 2), "fields", ("f1", "macro_f1", "accuracy")),
    "regression": OwnKind(("text",), (1, 2), "fields", ("pearson", "spearman", "r2")),
    "entities": OwnKind(("text",), (1,), "cluener", ("f1",)),
    "choice": OwnKind(("context", "question"), (2,), "choices", ("accuracy",)),
}


@dataclass
class OwnTask:
    """What a YAML file says about a task of one's own; every key is one of these."""

    kind: str = argument(MISSING, f"{', '.join(OWN_KINDS)}.")
    train: str = argument(MISSING, "File, from the YAML file's folder: .jsonl, .json, .csv, .tsv, .txt, .conll (.gz).")
    dev: str = argument(MISSING, "File that is scored.")
    test: str = argument("", "File that is predicted, and scored if it has labels.")
    fields: list[str] = argument(list, "Columns of the texts; if none: text, of a choice context and question.")
    label_field: str = argument("label", "Column of the label.")
    labels: Any = argument(list, "Labels in order, or {label in the files: its name}; if none: those of train, sorted.")
    separator: str = argument(",", "Between several labels in one cell of a table.")
    columns: list[str] = argument(list, "Names of the columns where the first line is a row.")
    metric: str = argument("", "accuracy or macro_f1; f1, macro_f1 or accuracy; pearson, spearman or r2, by kind.")
    max_length: int = argument(128, "Longest input in tokens.")
    batch_size: int = argument(16, "Rows of a step.")
    epochs: float = argument(3.0, "Passes over train.")
    learning_rate: float = argument(2e-5, "Peak learning rate.")


def read_own_task(path: str | Path) -> Task:
    """Return the task that a YAML file describes; its name is the file's.

    Raises:
        FileNotFoundError: If the file, or one that it names, is not there.
        ValueError: If a key is unknown or missing, or a value is not one that `OwnTask` allows.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{path} does not exist; give the YAML file of a task of your own")
    (own,) = load_recipe([OwnTask], file)
    _check(own, file)
    kind = OWN_KINDS[own.kind]
    splits = {
        split: str(file.absolute().parent / getattr(own, split))
        for split in ("train", "dev", "test")
        if getattr(own, split)
    }
    for split, named in splits.items():
        if not Path(named).is_file():
            raise FileNotFoundError(f"{file}: the {split} file {named} is not there")
        form_of(named)
    names = _label_names(own)
    return Task(
        name=file.stem,
        kind=own.kind,  # pyright: ignore[reportArgumentType]
        reader=kind.reader,
        files={split: (named,) for split, named in splits.items()},
        fields=tuple(own.fields or kind.fields),
        labels=_labels(own, names),
        label_names=names,
        max_length=own.max_length,
        batch_size=own.batch_size,
        epochs=own.epochs,
        learning_rate=own.learning_rate,
        recipe="the task's own file",
        label_field=own.label_field,
        separator=own.separator,
        columns=tuple(own.columns),
        own_file=str(file),
        main_metric=own.metric or kind.metrics[0],
        hub=None,
        submissions={"test": f"{file.stem}_predict.json"},
        citation="",
    )


def _label_names(own: OwnTask) -> dict[str, str]:
    """Return label as written -> its name; empty where `labels` is no mapping."""
    given = own.labels if isinstance(own.labels, dict) else {}
    return {label_text(written): label_text(name) for written, name in given.items()}


def _labels(own: OwnTask, names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the labels in order, each once; of a mapping of tags the types of their entities."""
    given = list(names.values()) if names else [label_text(label) for label in own.labels]
    if own.kind == "entities" and names:
        given = [kind for name in given if (kind := _type_of(name))]
    return tuple(dict.fromkeys(given))


def _type_of(name: str) -> str:
    """Return the type of a tag, and a name that is no tag as it is."""
    try:
        return tag_parts(name, "labels")[1]
    except ValueError:
        return name


def _check(own: OwnTask, file: Path) -> None:
    """Raise a ValueError where a value is not one that its kind allows."""
    if file.stem in TASKS:
        raise ValueError(f"{file}: {file.stem} is the name of a task of CLUE; give the file another name")
    if own.kind not in OWN_KINDS:
        raise ValueError(f"{file}: kind={own.kind!r} is not one of {', '.join(OWN_KINDS)}")
    kind = OWN_KINDS[own.kind]
    if own.metric and own.metric not in kind.metrics:
        raise ValueError(f"{file}: metric={own.metric!r} is not one of {', '.join(kind.metrics)}")
    for name in ("max_length", "batch_size", "epochs", "learning_rate"):
        if getattr(own, name) <= 0:
            raise ValueError(f"{file}: {name}={getattr(own, name)} is not above 0")
    _check_columns(own, kind, file)


def _check_columns(own: OwnTask, kind: OwnKind, file: Path) -> None:
    """Raise a ValueError where what is said of columns and labels does not fit the kind."""
    if own.fields and len(own.fields) not in kind.counts:
        expected = " or ".join(map(str, kind.counts))
        raise ValueError(
            f"{file}: fields={own.fields!r} are {len(own.fields)} columns, expected {expected} for {own.kind}"
        )
    missing = {*(own.fields or kind.fields)} - set(own.columns)
    if own.columns and missing:
        raise ValueError(f"{file}: columns={own.columns!r} lack {', '.join(sorted(missing))}, which fields name")
    if not isinstance(own.labels, list | dict):
        raise ValueError(f"{file}: labels={own.labels!r} is neither a list nor a mapping of labels to names")
    if own.labels and own.kind in ("regression", "choice"):
        raise ValueError(f"{file}: labels are not read for {own.kind}; leave them out")
    if not own.separator:
        raise ValueError(f"{file}: separator is empty; give what stands between several labels")

"""The tasks of CLUE as one table, and the same description for a task of one's own."""

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
OURS = "our default"

CLUE = "Xu et al. 2020, CLUE: A Chinese Language Understanding Evaluation Benchmark, arXiv 2004.05986"
NONE_STATED = "none stated"

TNEWS_CODES = (100, 101, 102, 103, 104, 106, 107, 108, 109, 110, 112, 113, 114, 115, 116)
ENTITY_TYPES = (
    "address",
    "book",
    "company",
    "game",
    "government",
    "movie",
    "name",
    "organization",
    "position",
    "scene",
)
NLI = ("entailment", "neutral", "contradiction")
SPLITS: Mapping[str, tuple[str, ...]] = {"train": ("train.json",), "dev": ("dev.json",), "test": ("test.json",)}


@dataclass(frozen=True)
class Task:
    """One task: where its rows are, what they hold, how a model is trained and scored on them.

    Attributes:
        name: name in commands, files and reports.
        kind: which input, head and score it takes.
        reader: how a file becomes examples, a name of `readers.READERS`.
        files: split -> names of its files in the official archive `<archive>_public.zip`, read one after another.
            "train" and "dev" must be there, the others are used where they are.
        fields: columns of the texts, one or two, in the order in which the model reads them.
        labels: labels as they are written in the files; empty where every row brings its own choices.
        max_length: longest input in tokens.
        batch_size: rows of an optimizer step.
        epochs: passes over the training rows.
        learning_rate: peak, where no grid is searched.
        recipe: source of the four values above.
        label_field: column of the label.
        main_metric: the metric that is selected and reported by; empty: `MAIN_METRIC` of the kind.
        archive: name of the official archive; empty: the task's name.
        submissions: split without labels -> file name that the CLUE site expects.
        rows: split -> official number of rows (questions where a row has several), before any is dropped.
        hub: data set on the Hugging Face Hub, its configuration being the task's name.
        hub_revision: commit of that data set; None: whatever is newest.
        licence: as stated by the source.
        citation: where it was published.
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


def _classification(
    name: str, texts: tuple[str, ...], labels: tuple[str, ...], rate: float, epochs: float, **more: Any
) -> Task:
    """Return a row of the table for one or two texts and one label: 128 tokens, 16 rows per step."""
    more = {"files": SPLITS, "submissions": {"test": f"{name}_predict.json"}, "max_length": 128, **more}
    return Task(
        name, "classification", "fields", fields=texts, labels=labels, learning_rate=rate, epochs=epochs,
        **{"batch_size": 16, **more},
    )  # fmt: skip


PAIR = ("sentence1", "sentence2")
_ROWS = (
    _classification("afqmc", PAIR, ("0", "1"), 2e-5, 3, rows={"train": 34_334, "dev": 4_316, "test": 3_861}),
    _classification(
        "tnews",
        ("sentence",),
        tuple(map(str, TNEWS_CODES)),
        2e-5,
        3,
        files={**SPLITS, "test1.0": ("test1.0.json",)},
        submissions={"test": "tnews11_predict.json", "test1.0": "tnews10_predict.json"},
        rows={"train": 53_360, "dev": 10_000, "test": 10_000, "test1.0": 10_000},
    ),
    _classification(
        "iflytek",
        ("sentence",),
        tuple(map(str, range(119))),
        2e-5,
        3,
        max_length=1_024,
        recipe=f"{OFFICIAL}; 1,024 tokens instead of 128 are our default: the texts are long",
        rows={"train": 12_133, "dev": 2_599, "test": 2_600},
    ),
    _classification("cmnli", PAIR, NLI, 3e-5, 3, rows={"train": 391_783, "dev": 12_426, "test": 13_880}),
    _classification(
        "ocnli",
        PAIR,
        NLI,
        3e-5,
        2,
        files={"train": ("train.50k.json",), "dev": ("dev.json",), "test": ("test.json",)},
        submissions={"test": "ocnli_50k_predict.json"},
        rows={"train": 50_486, "dev": 3_000, "test": 3_000},
        citation="Hu et al. 2020, OCNLI: Original Chinese Natural Language Inference, arXiv 2010.05444",
    ),
    Task(
        "cluewsc2020",
        "spans",
        "wsc",
        {**SPLITS, "test1.0": ("test1.0.json",)},
        ("text",),
        ("false", "true"),
        max_length=256,  # ours: a text has up to 147 characters, and a marked span must never be cut off
        batch_size=16,
        epochs=50,
        learning_rate=1e-5,
        submissions={"test": "cluewsc11_predict.json", "test1.0": "cluewsc10_predict.json"},
        rows={"train": 1_244, "dev": 304, "test": 290},
    ),
    Task(
        "csl",
        "classification",
        "csl",
        SPLITS,
        ("keyword", "abst"),
        ("0", "1"),
        max_length=256,
        batch_size=8,
        epochs=5,
        learning_rate=1e-5,
        submissions={"test": "csl_predict.json"},
        rows={"train": 20_000, "dev": 3_000, "test": 3_000},
    ),
    Task(
        "c3",
        "choice",
        "c3",
        {
            "train": ("d-train.json", "m-train.json"),
            "dev": ("d-dev.json", "m-dev.json"),
            "test": ("test1.1.json",),
            "test1.0": ("test1.0.json",),
            "labelled_test": ("c3-d-test.json", "c3-m-test.json"),
        },
        ("context", "question"),
        (),
        max_length=512,
        batch_size=24,
        epochs=8,
        learning_rate=2e-5,
        label_field="answer",
        submissions={"test": "c311_predict.json", "test1.0": "c310_predict.json"},
        rows={"train": 11_869, "dev": 3_816, "test": 1_625, "test1.0": 3_892, "labelled_test": 3_892},
        licence="non-commercial research only",
        citation="Sun et al. 2020, Investigating Prior Knowledge for Challenging Chinese Machine Reading "
        "Comprehension, arXiv 1904.09679",
    ),
    Task(
        "chid",
        "choice",
        "chid",
        {
            "train": ("train.json", "train_answer.json"),
            "dev": ("dev.json", "dev_answer.json"),
            "test": ("test1.1.json",),
            "test1.0": ("test1.0.json",),
        },
        ("content",),
        (),
        max_length=256,
        batch_size=16,
        epochs=3,
        learning_rate=2e-5,
        recipe=OURS,
        submissions={"test": "chid11_predict.json", "test1.0": "chid10_predict.json"},
        citation="Zheng et al. 2019, ChID: A Large-scale Chinese IDiom Dataset for Cloze Test, arXiv 1906.01265",
    ),
    Task(
        "cmrc2018",
        "answer",
        "squad",
        {**SPLITS, "trial": ("trial.json",)},
        ("question", "context"),
        (),
        max_length=512,
        batch_size=16,
        epochs=3,
        learning_rate=3e-5,
        recipe=OURS,
        submissions={"test": "cmrc2018_predict.json"},
        rows={"train": 10_142, "dev": 3_219, "test": 2_000, "trial": 1_002},
        licence="CC BY-SA 4.0",
        citation="Cui et al. 2019, A Span-Extraction Dataset for Chinese Machine Reading Comprehension, "
        "arXiv 1810.07366",
    ),
    Task(
        "drcd",
        "answer",
        "squad",
        SPLITS,
        ("question", "context"),
        (),
        max_length=512,
        batch_size=16,
        epochs=3,
        learning_rate=3e-5,
        recipe=OURS,
        rows={"train": 26_936, "dev": 3_524, "test": 3_493},
        licence="CC BY-SA 3.0",
        citation="Shao et al. 2018, DRCD: a Chinese Machine Reading Comprehension Dataset, arXiv 1806.00920",
    ),
    Task(
        "cluener",
        "entities",
        "cluener",
        SPLITS,
        ("text",),
        ENTITY_TYPES,
        max_length=128,
        batch_size=16,
        epochs=5,
        learning_rate=3e-5,
        recipe=OURS,
        submissions={"test": "cluener_predict.json"},
        rows={"train": 10_748, "dev": 1_343, "test": 1_345},
        hub=None,
        citation="Xu et al. 2020, CLUENER2020: Fine-grained Named Entity Recognition Dataset and Benchmark for "
        "Chinese, arXiv 2001.04351",
    ),
)

TASKS: Mapping[str, Task] = {task.name: task for task in _ROWS}
"""The tasks by name, in the order of reports."""


@dataclass
class OwnTask:
    """What a YAML file says about a task of one's own.

    Attributes:
        kind: "classification" (one or two texts), "entities" (tokens or spans) or "choice".
        train, dev, test: files, seen from the folder of the YAML file, `.jsonl`, `.json` (one object a line) or `.csv`;
            `test` may be left out.
        fields: columns of the texts, by kind 1 or 2, 1, 2; default: text, text, context and question.
        label_field: column of the label.
        labels: labels in order; default: those of the training file, sorted. A row labelled "-" has no gold label,
            unless "-" is one of them.
        metric: "accuracy" or "macro_f1" for a classification; the other kinds have one metric.
        max_length, batch_size, epochs, learning_rate: default 128, 16, 3, 2e-5 (ours).
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

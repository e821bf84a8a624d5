"""Opening the data of a task: an official archive, an unpacked folder, the Hub, or files of one's own.

An archive is read in place: nothing is unpacked, so no path in it can leave anything anywhere.
"""

from __future__ import annotations

import hashlib
import logging
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ...runtime.text_files import read_text, read_whole
from .forms import Layout, parse_json, read_rows
from .labels import is_without_gold, observed_labels
from .readers import READERS, Example
from .rows import ParsedFile, Row
from .tasks import Task

logger = logging.getLogger(__name__)

HUB = "hub"
"""In place of a folder: read the task from the Hugging Face Hub."""


@dataclass
class TaskData:
    """What was read of one task.

    Attributes:
        task: the task, with its labels
        source: where it was read from
        splits: split -> examples in the order of the file
        dropped: split -> rows without a gold label (written "-") that were left out
        borrowed: task -> training rows that were added from it
        repeated_dev_rows: numbers of the dev rows whose texts also occur in train
    """

    task: Task
    source: str
    splits: dict[str, list[Example]]
    dropped: dict[str, int] = field(default_factory=dict)
    repeated_dev_rows: list[int] = field(default_factory=list)
    borrowed: dict[str, int] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Return split -> examples."""
        return {split: len(examples) for split, examples in self.splits.items()}

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that name the examples of every split."""
        digest = hashlib.sha256()
        for split, examples in sorted(self.splits.items()):
            digest.update(repr((split, examples)).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:16]


class TaskFiles:
    """The files of one task, in a folder or in a zip.

    Args:
        data: folder that holds `<task>_public.zip` or a folder of the task's name; or the zip or that folder itself
        task: the task

    Raises:
        FileNotFoundError: If there is nothing of the task in `data`.
    """

    def __init__(self, data: str | Path, task: Task) -> None:
        root, name = Path(data), task.archive or task.name
        candidates = [root] if root.is_file() else [root / f"{name}_public.zip", root / f"{name}.zip", root / name]
        candidates += [root / f"{name}_public", root]
        expected = {file for files in task.files.values() for file in files}
        for container in candidates:
            members = self._members(container)
            if expected & members.keys():
                self.container, self.members = container, members
                return
        raise FileNotFoundError(
            f"no data of {task.name} in {root}; give a folder that holds {name}_public.zip or a folder {name} with "
            f"{', '.join(task.files['train'] + task.files['dev'])}"
        )

    @staticmethod
    def _members(container: Path) -> dict[str, str]:
        """Return file name -> name within the zip or folder; a zip may hold one folder around its files."""
        if container.is_file():
            with _archive(container) as archive:
                return {PurePosixPath(name).name: name for name in archive.namelist() if not name.endswith("/")}
        return {path.name: path.name for path in container.iterdir() if path.is_file()} if container.is_dir() else {}

    def has(self, file: str) -> bool:
        """Return whether a file is there."""
        return file in self.members

    def read(self, file: str) -> ParsedFile:
        """Read one file: one JSON document, or one JSON object per line (lines end with a line feed only).

        Raises:
            ValueError: If it is not UTF-8, or a line is not JSON, with file and line; if the archive is damaged.
        """
        location = str(self.container / self.members[file])
        if self.container.is_file():
            with _archive(self.container) as archive, archive.open(self.members[file]) as member:
                text = read_whole(member, location)
        else:
            text = read_text(Path(location))
        return parse_json(text, location)


@contextmanager
def _archive(file: Path) -> Iterator[zipfile.ZipFile]:
    """Yield an open zip; what is wrong with it is one error, whatever module meets it."""
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{file} is not a zip that can be read ({error}); fetch it again") from error


def read_task(task: Task, data: str | Path, extra_training: Sequence[Task] = ()) -> TaskData:
    """Read every split of a task that is there.

    Args:
        task: a row of `TASKS`, or a task of one's own
        data: folder, zip, or "hub"; a task of one's own takes only the rows of `extra_training` from there
        extra_training: tasks with the same labels whose training rows are added (`train_from`)

    Raises:
        FileNotFoundError: If there is no training or no dev file.
        ValueError: If a row is wrong; with file and line.
    """
    parsed, source = _open(task, data)
    if extra_training and "train" not in parsed:
        parsed["train"] = []
    for split in ("train", "dev"):
        if split not in parsed:
            raise FileNotFoundError(
                f"{source} holds no {' or '.join(task.files[split])}, the {split} rows of {task.name}"
            )
    if not task.labels and task.kind in ("classification", "multi_label", "entities"):
        task = replace(task, labels=observed_labels(parsed["train"], task))
    splits = {split: list(READERS[task.reader](found, task)) for split, found in parsed.items()}
    counts: dict[str, int] = {}
    for other in extra_training:
        if (other.kind, other.labels) != (task.kind, task.labels):
            raise ValueError(f"rows of {other.name} cannot train {task.name}: their kind or labels differ")
        borrowed = list(READERS[other.reader](_open_files(other, data)[0]["train"], other))
        counts[other.name] = len(borrowed)
        splits["train"] += [replace(one, identity=f"{other.name} {one.identity}") for one in borrowed]
    found = TaskData(task, source, splits, _dropped(parsed, task), borrowed=counts)
    for split in ("train", "dev"):
        _check_gold(found, split)
    _check_classes(found)
    for split in [split for split, examples in splits.items() if not examples]:
        logger.warning("%s: %s of %s has no rows to predict; it is left out", source, split, task.name)
        del splits[split]
    found.repeated_dev_rows = _repeated(splits["train"], splits["dev"])
    return found


def _open(task: Task, data: str | Path) -> tuple[dict[str, list[ParsedFile]], str]:
    """Return the parsed files of each split that is there, and where they are from."""
    if task.own_file:
        layout = Layout(task.columns, task.fields, task.label_field, is_tagged=task.kind == "entities")
        found = {
            split: [ParsedFile(name, list(read_rows(name, layout)), None) for name in names]
            for split, names in task.files.items()
        }
        return found, Path(task.own_file).absolute().parent.name
    return _open_hub(task) if str(data) == HUB else _open_files(task, data)


def _open_files(task: Task, data: str | Path) -> tuple[dict[str, list[ParsedFile]], str]:
    files = TaskFiles(data, task)
    present = {split: [name for name in names if files.has(name)] for split, names in task.files.items()}
    found = {split: [files.read(name) for name in names] for split, names in present.items() if names}
    return found, files.container.name


def _open_hub(task: Task) -> tuple[dict[str, list[ParsedFile]], str]:
    """Read a task from the Hub; labels that are numbered there are named again."""
    if task.hub is None or task.reader not in ("fields", "csl", "wsc", "c3"):
        raise ValueError(f"{task.name} is read from its official archive only; give the folder of the archive as data")
    from datasets import load_dataset

    loaded: Any = load_dataset(task.hub, task.name, revision=task.hub_revision)
    found = {}
    for split, name in (("train", "train"), ("dev", "validation"), ("test", "test")):
        if name in loaded:
            location = f"{task.hub} {task.name} {name}"
            rows = [Row(f"{location}, row {i}", _named(row, loaded[name], task)) for i, row in enumerate(loaded[name])]
            found[split] = [ParsedFile(location, rows, _c3_content(rows) if task.reader == "c3" else None)]
    return found, f"Hugging Face Hub, {task.hub}, revision {task.hub_revision or 'newest'}"


def _named(row: dict[str, Any], split: Any, task: Task) -> dict[str, Any]:
    """Return a row of the Hub with its label as text; a negative number or empty answer says that there is none."""
    label = row.get(task.label_field)
    if label in (None, "", -1):
        return {key: value for key, value in row.items() if key != task.label_field}
    to_name = getattr(split.features.get(task.label_field), "int2str", str)
    return {**row, task.label_field: to_name(label)}


def _c3_content(rows: Iterable[Row]) -> list[list[Any]]:
    return [[list(row.values["context"]), [row.values], row.values.get("id")] for row in rows]


def _dropped(parsed: dict[str, list[ParsedFile]], task: Task) -> dict[str, int]:
    if task.kind != "classification" or task.reader != "fields":
        return {}
    counted = {
        split: sum(is_without_gold(row, task) for file in found for row in file.rows) for split, found in parsed.items()
    }
    return {split: count for split, count in counted.items() if count}


def _check_gold(data: TaskData, split: str) -> None:
    """Raise a ValueError where a split that must be labelled has no rows, or rows without a label."""
    examples = data.splits[split]
    bare = [example.identity for example in examples if not example.has_gold]
    if not examples or bare:
        what = f"{len(bare)} rows without a label, first {bare[0]!r}" if bare else "no rows"
        raise ValueError(f"{data.source}: {split} of {data.task.name} has {what}")


def _check_classes(data: TaskData) -> None:
    """Raise a ValueError where there is nothing to tell apart."""
    found = ("O", *data.task.labels) if data.task.kind == "entities" else data.task.labels
    if data.task.kind in ("classification", "entities") and len(set(found)) < 2:
        raise ValueError(
            f"{data.source}: {data.task.name} has one class, {found[0]}; give 2 or more (a row labelled '-' has no "
            "gold label, unless labels name '-')"
        )


def _repeated(train: Sequence[Example], dev: Sequence[Example]) -> list[int]:
    """Return the numbers of the dev rows whose texts, spans and choices occur in train."""
    seen = {(example.texts, example.spans, example.choices) for example in train}
    return [i for i, example in enumerate(dev) if (example.texts, example.spans, example.choices) in seen]


def describe(data: TaskData) -> str:
    """Return one line on what was read: rows, official rows where they differ, dropped and repeated rows."""
    official = data.task.rows
    parts = []
    for split, count in data.counts().items():
        read = count + data.dropped.get(split, 0) - (sum(data.borrowed.values()) if split == "train" else 0)
        of = f" of {official[split]} official" if split in official and read != official[split] else ""
        dropped = f" ({data.dropped[split]} without gold label dropped)" if split in data.dropped else ""
        parts.append(f"{split} {count}{of}{dropped}")
    repeated = f"; {len(data.repeated_dev_rows)} dev rows also occur in train" if data.repeated_dev_rows else ""
    added = "".join(f"; {count} training rows of {name} added" for name, count in data.borrowed.items())
    return f"{data.task.name}: {', '.join(parts)}{added}{repeated}"

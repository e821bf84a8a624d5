"""What the report says of a task beside its scores: rows, cuts, lost entities, hardest rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...evaluation.clue.baselines import score_baseline
from ...evaluation.clue.files import TaskData, describe
from ...evaluation.clue.readers import Example
from ...evaluation.clue.scores import reference
from ...evaluation.clue.tasks import Task
from ...runtime.token_rows import IGNORED_LABEL
from .arguments import ClueArguments
from .inputs import TaskInputs

logger = logging.getLogger(__name__)

HARDEST_ROWS = 10
# Examples whose tags are decoded together: one-hot tags of a large training set do not fit into memory.
EXAMPLES_AT_ONCE = 1_000


def about_task(
    args: ClueArguments,
    data: TaskData,
    inputs: TaskInputs,
    scored: Mapping[str, Sequence[Example]],
    train: Sequence[Example],
    cut: Mapping[str, Sequence[int]],
    runs: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Return what was read, cut and lost, and how the task is trained.

    Args:
        args: options of a run of the task
        data: the task's examples
        inputs: its inputs
        scored: examples of each split that is scored
        train: examples that runs take their training and selection rows from
        cut: `count_cut` of the rows
        runs: results of the runs
    """
    task = data.task
    return {
        "source": data.source,
        "max_length": inputs.max_length,
        "epochs": args.num_train_epochs,
        "batch_size": args.per_device_train_batch_size * args.gradient_accumulation_steps,
        "chosen_epochs": [round(run["epoch"], 2) for run in runs],
        "rows": data.counts(),
        "training_rows": runs[0]["training_rows"],
        "selection_rows": runs[0]["selection_rows"],
        "cut": dict(cut),
        "lost_entities": {"train": lost_entities(inputs, train), "dev": lost_entities(inputs, scored["dev"])},
        "baseline": score_baseline(task, train, scored["dev"]),
        "dropped": data.dropped,
        "repeated_dev_rows": len(data.repeated_dev_rows),
        "labels": list(task.labels),
        "summary": describe(data),
        "recipe": recipe_of(args, task, inputs.max_length),
        "licence": task.licence,
        "citation": task.citation,
        "submissions": dict(task.submissions),
        "kind": task.kind,
        "reader": task.reader,
        "is_own": bool(task.own_file),
        "hardest": hardest_rows(scored["dev"], runs),
        "ids": {split: [one.identity for one in examples] for split, examples in scored.items()},
    }


def recipe_of(args: ClueArguments, task: Task, max_length: int) -> str:
    """Return where the numbers of a run come from, without those that were given in place of the task's."""
    numbers = {
        "learning rate": (args.learning_rate, task.learning_rate),
        "tokens": (max_length, task.max_length),
        "epochs": (args.num_train_epochs, task.epochs),
        "batch size": (args.per_device_train_batch_size * args.gradient_accumulation_steps, task.batch_size),
    }
    given = [name for name, (used, own) in numbers.items() if used != own]
    return f"{task.recipe}, but for {', '.join(given)}" if given else task.recipe


def count_cut(inputs: TaskInputs, train: Sequence[Example], dev: Sequence[Example]) -> dict[str, list[int]]:
    """Return split -> rows that are longer than the input, and rows; log them where there are any."""
    counts = {name: [len(inputs.cut_numbers(rows)), len(rows)] for name, rows in (("train", train), ("dev", dev))}
    if any(cut for cut, _ in counts.values()):
        told = " and ".join(f"{cut:,} of {of:,} {split}" for split, (cut, of) in counts.items())
        logger.warning("%s: %s rows were cut (max_length=%d)", inputs.task.name, told, inputs.max_length)
    return counts


def lost_entities(inputs: TaskInputs, examples: Sequence[Example]) -> list[int]:
    """Return how many entities even perfect tags would not give, cut off or with a border in a token, and of how many.

    Returns:
        Two numbers; zeros for tasks without entities.
    """
    if inputs.task.kind != "entities":
        return [0, 0]
    chunks = [examples[first : first + EXAMPLES_AT_ONCE] for first in range(0, len(examples), EXAMPLES_AT_ONCE)]
    counts = [_lost_of(inputs, chunk) for chunk in chunks]
    return [sum(lost for lost, _ in counts), sum(of for _, of in counts)]


def _lost_of(inputs: TaskInputs, examples: Sequence[Example]) -> tuple[int, int]:
    """Return `lost_entities` of a few examples: logits that are right about every token are decoded."""
    features = inputs.encode(examples)
    tags = [np.where(np.array(one["labels"]) == IGNORED_LABEL, 0, one["labels"]) for one in features]
    logits = np.zeros((len(tags), max(map(len, tags)), 1 + max(int(one.max(initial=0)) for one in tags)))
    for row, one in zip(logits, tags, strict=True):
        row[np.arange(len(one)), one] = 1.0
    found = inputs.decode(logits, features, examples).values
    gold = [set(reference(example, "entities")) for example in examples]
    return sum(len(right - set(kept)) for right, kept in zip(gold, found, strict=True)), sum(map(len, gold))


def hardest_rows(dev: Sequence[Example], runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the dev rows whose right answer had the lowest probability, on average over the runs."""
    table = np.array([run["dev_gold_log_probability"] for run in runs], dtype=np.float64)
    table[~np.isfinite(table)] = 0.0
    means = table.mean(axis=0)
    return [
        {
            "id": dev[i].identity,
            "texts": list(dev[i].texts),
            "gold": runs[0]["dev_gold"][i],
            "predicted": [run["predictions"]["dev"][i] for run in runs],
            "log_probability": float(means[i]),
        }
        for i in np.argsort(means)[:HARDEST_ROWS].tolist()
    ]

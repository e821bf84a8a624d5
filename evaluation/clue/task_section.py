"""The section of one task in a report: data, scores, what inputs do not hold, confusions, hardest rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from ...runtime.markdown import markdown_table

SHOWN_CLASSES = 15
SHOWN_CONFUSIONS = 10


def format_spread(value: Mapping[str, float | None]) -> str:
    """Return `mean ± deviation`, or the mean alone."""
    deviation = value["deviation"]
    return f"{value['mean']:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")


def task_section(row: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """Return the lines of a task.

    Args:
        row: the task's row of the report
        result: what the `clue` command collected of it
    """
    about = result["data"]
    lines = [
        "",
        f"## {row['task']}",
        "",
        f"- Data: {about['summary']}; read from {about['source']}.",
        *([] if about["is_own"] else [f"- Licence: {about['licence']}. {about['citation']}".rstrip()]),
        f"- Recipe: {about['recipe']}; {about['max_length']:,} tokens, {about['epochs']:g} epochs at most, batches of "
        f"{about['batch_size']:,}; weights of epoch {', '.join(f'{epoch:g}' for epoch in about['chosen_epochs'])}.",
        *_losses(about),
    ]
    if len(row["grid"]) > 1:
        lines.append(
            "- Grid (selection): " + ", ".join(f"{rate} {value:.2f}" for rate, value in row["grid"].items()) + "."
        )
    for split, metrics in row["scored"].items():
        lines.append(
            f"- {split}: " + ", ".join(f"{name} {format_spread(value)}" for name, value in metrics.items()) + "."
        )
    if "dev_without_repeated" in row:
        lines.append(f"- dev without rows that occur in train: {format_spread(row['dev_without_repeated'])}.")
    lines += [f"- Prediction file: {name}." for name in row["submissions"]]
    if row["by_label"]:
        measures = ("precision", "recall", "f1")
        scores = (
            (name, *(f"{one[measure]:.2f}" for measure in measures), f"{one['gold']:,.0f}")
            for name, one in row["by_label"].items()
        )
        lines += ["", "By type or label (dev, means over runs):", ""]
        lines += markdown_table(("", *measures, "right ones"), scores)
    if about["kind"] in ("classification", "spans"):
        lines += _confusions(result["runs"], about["labels"])
    by = "error" if about["kind"] == "regression" else "log probability"
    lines += ["", f"Hardest dev rows ({by} of the right answer, mean over runs):", ""]
    titles = ("id", "right", "predicted", by, "text")
    lines += markdown_table(titles, (_hard_row(one, about) for one in about["hardest"]))
    for run in result["runs"]:
        lines += _explained(run)
    return lines


def _losses(about: Mapping[str, Any]) -> list[str]:
    """Return lines on what the inputs do not hold: rows that are cut, entities that no tags give."""
    lines = []
    if any(cut for cut, _ in about["cut"].values()):
        counts = " and ".join(f"{cut:,} of {rows:,} {split}" for split, (cut, rows) in about["cut"].items())
        lines.append(f"- **Cut at {about['max_length']:,} tokens: {counts} rows.**")
    if any(lost for lost, _ in about["lost_entities"].values()):
        counts = " and ".join(f"{lost:,} of {of:,} in {split}" for split, (lost, of) in about["lost_entities"].items())
        lines.append(
            f"- **Entities that even perfect tags would not give, cut off or with a border in a token: {counts}.**"
        )
    return lines


def _hard_row(row: Mapping[str, Any], about: Mapping[str, Any]) -> tuple[str, ...]:
    def name(value: Any) -> str:
        if about["kind"] in ("classification", "spans"):
            return about["labels"][value]
        if about["kind"] == "multi_label":
            return " + ".join(about["labels"][one] for one in value) or "none"
        return f"{value:g}" if isinstance(value, float) else str(value)

    predicted = ", ".join(sorted({name(value) for value in row["predicted"]}))
    texts = " / ".join(text if len(text) <= 60 else f"{text[:60]}…" for text in row["texts"])
    return str(row["id"]), name(row["gold"]), predicted, f"{row['log_probability']:.2f}", texts


def _confusions(runs: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> list[str]:
    """Return the confusion matrix summed over runs, or for many classes its largest entries off the diagonal."""
    gold = [label for run in runs for label in run["dev_gold"]]
    found = [label for run in runs for label in run["predictions"]["dev"]]
    table = confusion_matrix(gold, found, labels=list(range(len(labels))))
    if len(labels) <= SHOWN_CLASSES:
        rows = ((name, *row) for name, row in zip(labels, table.tolist(), strict=True))
        title = "Confusions (rows: right, columns: predicted; summed over runs):"
        return ["", title, "", *markdown_table(("", *labels), rows)]
    np.fill_diagonal(table, 0)
    largest = np.argsort(-table, axis=None)[:SHOWN_CONFUSIONS]
    pairs = [divmod(int(cell), len(labels)) for cell in largest]
    rows = ((labels[a], labels[b], table[a, b]) for a, b in pairs if table[a, b])
    title = "Largest confusions (right, predicted, rows summed over runs):"
    return ["", title, "", *markdown_table(("right", "predicted", "rows"), rows)]


def _explained(run: Mapping[str, Any]) -> list[str]:
    lines = []
    for one in run.get("explained", ()):
        strongest = sorted(one["tokens"], key=lambda pair: -abs(pair[1]))[:10]
        weights = ", ".join(f"{text.strip() or '␣'} {weight:+.2f}" for text, weight in strongest)
        lines.append(f"- {one['id']}: {one['predicted']} (right: {one['gold']}): {weights}")
    if not lines:
        return []
    return ["", f"Weights of tokens for the predicted label, each masked alone (seed {run['seed']}):", "", *lines]

"""One report of a fine-tuning command: Markdown, JSON, a picture, prediction files, and a comparison of two models."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from ...runtime.environment import describe_environment
from ...runtime.files import write_text_atomically
from ...runtime.markdown import markdown_table
from ...runtime.pictures import COLORS, new_figure, save_picture_atomically
from .published import PUBLISHED
from .significance import compare
from .submissions import write_submissions

REPORT, REPORT_JSON, PICTURE, SUBMISSIONS = "report.md", "report.json", "scores.png", "submissions"
SHOWN_CLASSES = 15
SHOWN_CONFUSIONS = 10
_COLLAPSED = "**every run predicts one class only: this is a failed training, not a weak model**"


def write_report(
    output: Path,
    results: Sequence[dict[str, Any]],
    skipped: Mapping[str, str],
    settings: Mapping[str, Any],
    against: str | None = None,
) -> Path:
    """Write the report of all tasks.

    Args:
        output: folder of results
        results: one mapping per task: `task`, `metric`, `data`, `learning_rate`, `grid`, `runs`
        skipped: task -> why it was not run
        settings: what was asked for, and the machine
        against: folder of another model's report

    Returns:
        The Markdown file.

    Raises:
        FileNotFoundError: If `against` holds no report.
        ValueError: If `against` was scored on other rows.
    """
    rows = [summarize(result) for result in results]
    other = None if against is None else read_report(against)
    for row, result in zip(rows, results, strict=True):
        if other is not None and row["task"] in other:
            row["against"] = against_row(row, other[row["task"]])
        row["submissions"] = [str(path.relative_to(output)) for path in write_submissions(output / SUBMISSIONS, result)]
    content = {"settings": {**settings, **describe_environment()}, "skipped": dict(skipped), "tasks": rows}
    write_text_atomically(output / REPORT_JSON, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    picture = draw_scores(rows, str(settings["model"]), output / PICTURE) if rows else None
    write_text_atomically(output / REPORT, _markdown(content, results, picture))
    return output / REPORT


def read_report(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Return task -> row of a report that was written before.

    Raises:
        FileNotFoundError: If the folder holds none.
    """
    file = Path(folder) / REPORT_JSON
    if not file.is_file():
        raise FileNotFoundError(f"{folder} holds no {REPORT_JSON}; give the output_dir of a finished clue command")
    return {row["task"]: row for row in json.loads(file.read_text(encoding="utf-8"))["tasks"]}


def summarize(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return means and deviations over the runs of a task, and what each dev row adds to the score."""
    runs, metric = result["runs"], result["metric"]
    scored = {
        split: {name: _spread([run["scored"][split][name] for run in runs]) for name in runs[0]["scored"][split]}
        for split in runs[0]["scored"]
    }
    is_class = result["data"]["kind"] in ("classification", "spans")
    row = {
        "task": result["task"],
        "metric": metric,
        "learning_rate": result["learning_rate"],
        "grid": result["grid"],
        "selection": _spread([run["selection"] for run in runs]),
        "dev": scored["dev"][metric],
        "scored": scored,
        "runs": len(runs),
        "seconds": sum(run["seconds"] for run in runs),
        "data": result["data"]["summary"],
        "used_training_rows": result["data"]["used_training_rows"],
        "dev_rows": len(runs[0]["dev_gold"]),
        "is_collapsed": is_class and all(len(set(run["predictions"]["dev"])) == 1 for run in runs),
        "dev_examples": np.mean([run["dev_examples"] for run in runs], axis=0).round(6).tolist(),
        "dev_gold": runs[0]["dev_gold"],
    }
    if all("dev_without_repeated" in run for run in runs):
        row["dev_without_repeated"] = _spread([run["dev_without_repeated"][metric] for run in runs])
    return row


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    """Return mean and sample deviation; the deviation of one run is not known."""
    return {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def against_row(row: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Compare two models on the dev rows of a task.

    Returns:
        `metric`, `this` and `other` in percent, and the fields of `PairedComparison`; all of them of one metric: the
        task's, or accuracy where that is macro F1, to which a row adds no share of its own.

    Raises:
        ValueError: If the rows or their gold labels differ.
    """
    if row["dev_gold"] != other["dev_gold"]:
        raise ValueError(f"{row['task']}: the two models were scored on other dev rows; run both on the same data")
    found = compare(np.array(row["dev_examples"]), np.array(other["dev_examples"]))
    metric = "accuracy" if row["metric"] == "macro_f1" else row["metric"]
    means = {name: one["scored"]["dev"][metric]["mean"] for name, one in (("this", row), ("other", other))}
    return {"metric": metric, **means, **vars(found)}


def format_spread(value: Mapping[str, float | None]) -> str:
    """Return `mean ± deviation`, or the mean alone."""
    deviation = value["deviation"]
    return f"{value['mean']:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")


def _markdown(content: Mapping[str, Any], results: Sequence[Mapping[str, Any]], picture: Path | None) -> str:
    rows, settings = content["tasks"], content["settings"]
    select = (
        "rate and epoch were chosen on the dev rows themselves, so dev is optimistic"
        if settings["select_on"] == "dev"
        else f"rate and epoch were chosen on one of {settings['folds']} folds of the training rows (column selection); "
        "dev was scored once by the chosen weights"
    )
    lines = [
        f"# CLUE: {settings['model']}",
        "",
        f"In percent, mean and sample deviation over the runs. Protocol: {select}.",
        "",
        *markdown_table(
            ("task", "metric", "selection", "dev", "runs", "learning rate", "training rows used"),
            (
                (
                    row["task"],
                    row["metric"],
                    format_spread(row["selection"]),
                    format_spread(row["dev"]),
                    row["runs"],
                    f"{row['learning_rate']:g}",
                    f"{row['used_training_rows']:,}",
                )
                for row in rows
            ),
        ),
    ]
    lines += _notes(rows, content["skipped"], settings)
    lines += _comparison(rows)
    lines += _published(rows)
    if picture is not None:
        lines += ["", f"![dev scores by task]({picture.name})"]
    for row, result in zip(rows, results, strict=True):
        lines += _task_section(row, result)
    lines += ["", "## Settings", "", *(f"- {name}: {value}" for name, value in settings.items()), ""]
    return "\n".join(lines)


def _notes(rows: Sequence[Mapping[str, Any]], skipped: Mapping[str, str], settings: Mapping[str, Any]) -> list[str]:
    lines = [""]
    if settings["max_train_samples"]:
        lines.append(f"- Training rows were sampled: at most {settings['max_train_samples']:,} per task.")
    if settings["max_eval_samples"]:
        lines.append(f"- Scored on the first {settings['max_eval_samples']:,} rows of a file only.")
    if settings["train_from"]:
        lines.append(f"- Training rows of other tasks were added: {settings['train_from']}.")
    lines += [f"- {row['task']}: {_COLLAPSED}." for row in rows if row["is_collapsed"]]
    lines += [f"- {task} was skipped: {reason}" for task, reason in skipped.items()]
    return lines if len(lines) > 1 else []


def _comparison(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    compared = [(row["task"], row["against"]) for row in rows if "against" in row]
    if not compared:
        return []
    return [
        "",
        "## Against the other model",
        "",
        "Dev, paired row by row, means over runs; interval from a paired bootstrap, p from approximate randomization.",
        "",
        *markdown_table(
            ("task", "metric", "this", "other", "difference", "95 %", "p"),
            (
                (
                    task,
                    pair["metric"],
                    f"{pair['this']:.2f}",
                    f"{pair['other']:.2f}",
                    f"{pair['difference']:+.2f}",
                    f"{pair['low']:+.2f} to {pair['high']:+.2f}",
                    f"{pair['p_value']:.4f}",
                )
                for task, pair in compared
            ),
        ),
    ]


def _published(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [row["task"] for row in rows if any(row["task"] in one.scores for one in PUBLISHED)]
    if not names:
        return []
    ours = {row["task"]: row["dev"]["mean"] for row in rows}
    scored = (("this run", ours, "dev, as above"), *((one.model, one.scores, one.source) for one in PUBLISHED))
    table = markdown_table(
        ("model", *names, "source"),
        (
            (model, *(f"{scores[name]:.2f}" if name in scores else "" for name in names), source)
            for model, scores, source in scored
        ),
    )
    return ["", "## Published scores", "", "Other splits and protocols: not comparable digit by digit.", "", *table]


def _task_section(row: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    about = result["data"]
    lines = [
        "",
        f"## {row['task']}",
        "",
        f"- Data: {about['summary']}; read from {about['source']}.",
        f"- Licence: {about['licence']}. {about['citation']}".rstrip(),
        f"- Recipe: {about['recipe']}; {about['max_length']:,} tokens.",
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
    if about["kind"] in ("classification", "spans"):
        lines += _confusions(result["runs"], about["labels"])
    lines += ["", "Hardest dev rows (lowest probability of the right answer, mean over runs):", ""]
    titles = ("id", "right", "predicted", "log probability", "text")
    lines += markdown_table(titles, (_hard_row(one, about) for one in about["hardest"]))
    for run in result["runs"]:
        lines += _explained(run)
    return lines


def _hard_row(row: Mapping[str, Any], about: Mapping[str, Any]) -> tuple[str, ...]:
    name = (lambda value: about["labels"][value]) if about["kind"] in ("classification", "spans") else str
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


def draw_scores(rows: Sequence[Mapping[str, Any]], model: str, picture: Path) -> Path:
    """Draw dev scores by task with their deviations, and the published scores as marks."""
    figure = new_figure(max(5.0, 1.2 * len(rows) + 3.0), 4.0)
    axes = figure.subplots()
    positions = np.arange(len(rows))
    deviations = [row["dev"]["deviation"] or 0.0 for row in rows]
    means = [row["dev"]["mean"] for row in rows]
    axes.bar(positions, means, 0.5, yerr=deviations, capsize=4, color=COLORS[0], label=f"{model}, dev")
    for marker, one in zip("osD^", PUBLISHED, strict=True):
        values = [one.scores.get(row["task"], math.nan) for row in rows]
        if not all(map(math.isnan, values)):
            axes.plot(positions, values, marker, color="#333333", fillstyle="none", label=f"{one.model}, published")
    axes.set_xticks(positions, [row["task"] for row in rows], rotation=30)
    axes.set_ylabel("percent")
    axes.set_ylim(0, 100)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=7, loc="lower right")
    return save_picture_atomically(figure, picture)

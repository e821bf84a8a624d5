"""One report of a fine-tuning command: Markdown, JSON, a picture, prediction files, and a comparison of two models."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.environment import describe_environment
from ...runtime.files import read_record, write_text_atomically
from ...runtime.markdown import markdown_table
from ...runtime.pictures import COLORS, new_figure, save_picture_atomically
from .baselines import score_by_label
from .published import PUBLISHED
from .significance import compare
from .submissions import write_submissions
from .task_section import format_spread, task_section
from .tasks import COMPARED_METRIC

REPORT, REPORT_JSON, PICTURE, SUBMISSIONS = "report.md", "report.json", "scores.png", "submissions"
_COLLAPSED = "**every run gives one answer to all rows: this is a failed training, not a weak model**"


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
    other = {} if against is None else read_report(against)
    for row, result in zip(rows, results, strict=True):
        if row["task"] in other:
            row["against"] = against_row(row, other[row["task"]])
        row["submissions"] = [str(path.relative_to(output)) for path in write_submissions(output / SUBMISSIONS, result)]
    content = {"settings": {**settings, **describe_environment()}, "skipped": dict(skipped), "tasks": rows}
    write_text_atomically(output / REPORT_JSON, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    picture = draw_scores(rows, str(settings["model"]), output / PICTURE, other) if rows else None
    write_text_atomically(output / REPORT, _markdown(content, results, picture))
    return output / REPORT


def read_report(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Return task -> row of a report that was written before, with the name of its model.

    Raises:
        FileNotFoundError: If the folder holds none.
        ValueError: If it is of another shape.
    """
    file = Path(folder) / REPORT_JSON
    if not file.is_file():
        raise FileNotFoundError(f"{folder} holds no {REPORT_JSON}; give the output_dir of a finished clue command")
    content = read_record(file, {"settings": {"model": str}, "tasks": [{"task": str}]}, "run the command clue again")
    return {row["task"]: {**row, "model": content["settings"]["model"]} for row in content["tasks"]}


def summarize(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return means and deviations over the runs of a task, and what each dev row adds to the score."""
    runs, metric = result["runs"], result["metric"]
    scored = {
        split: {name: _spread([run["scored"][split][name] for run in runs]) for name in runs[0]["scored"][split]}
        for split in runs[0]["scored"]
    }
    about = result["data"]
    may_collapse = about["kind"] in ("classification", "multi_label", "regression", "spans")
    predicted = [run["predictions"]["dev"] for run in runs]
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
        "kind": about["kind"],
        "is_own": about["is_own"],
        "data": about["summary"],
        "baseline": about["baseline"],
        "training_rows": about["training_rows"],
        "selection_rows": about["selection_rows"],
        "cut_rows": about["cut"],
        "lost_entities": about["lost_entities"],
        "epochs": about["epochs"],
        "chosen_epochs": about["chosen_epochs"],
        "dev_rows": len(runs[0]["dev_gold"]),
        "is_collapsed": may_collapse and all(_is_one_answer(values) for values in predicted),
        "by_label": _by_label(result),
        "dev_examples": np.mean([run["dev_examples"] for run in runs], axis=0).round(6).tolist(),
        "dev_gold": runs[0]["dev_gold"],
    }
    if all("dev_without_repeated" in run for run in runs):
        row["dev_without_repeated"] = _spread([run["dev_without_repeated"][metric] for run in runs])
    return row


def _is_one_answer(predictions: Sequence[Any]) -> bool:
    """Return whether every row got the same answer; numbers that differ by less than a thousandth count as one."""
    return len({f"{one:.3f}" if isinstance(one, float) else str(one) for one in predictions}) == 1


def _by_label(result: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the scores of each entity type or label, means over the runs."""
    about = result["data"]
    tables = [
        score_by_label(about["kind"], run["predictions"]["dev"], run["dev_gold"], about["labels"])
        for run in result["runs"]
    ]
    return {
        name: {measure: float(np.mean([table[name][measure] for table in tables])) for measure in scores}
        for name, scores in tables[0].items()
    }


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    """Return mean and sample deviation; the deviation of one run is not known."""
    return {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def refuse_other_rows(task: str, gold: Sequence[Any], other: Mapping[str, Any]) -> None:
    """Refuse to compare a model with one that was scored on other dev rows.

    Args:
        task: name of the task
        gold: what is right for each dev row
        other: the other model's row of its report

    Raises:
        ValueError: If the rows or their gold labels differ.
    """
    if gold != other["dev_gold"]:
        raise ValueError(
            f"{task}: the two models were scored on other dev rows, {len(gold)} and {len(other['dev_gold'])}; run both "
            "on the same data"
        )


def against_row(row: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Compare two models on the dev rows of a task.

    Returns:
        `metric`, `this` and `other` in percent, and the fields of `PairedComparison`; all of them of one metric, the
        `COMPARED_METRIC` of the kind: to macro F1 or a correlation a row adds no share of its own.

    Raises:
        ValueError: If the rows or their gold labels differ.
    """
    refuse_other_rows(row["task"], row["dev_gold"], other)
    found = compare(np.array(row["dev_examples"]), np.array(other["dev_examples"]))
    metric = COMPARED_METRIC[row["kind"]]
    means = {name: one["scored"]["dev"][metric]["mean"] for name, one in (("this", row), ("other", other))}
    return {"metric": metric, **means, **vars(found)}


def _markdown(content: Mapping[str, Any], results: Sequence[Mapping[str, Any]], picture: Path | None) -> str:
    rows, settings = content["tasks"], content["settings"]
    select = (
        "rate and epoch were chosen on the dev rows themselves, so dev is optimistic"
        if settings["select_on"] == "dev"
        else f"rate and epoch were chosen on one of {settings['folds']} folds of the training rows (column selection); "
        "dev was scored once by the chosen weights"
    )
    title = "Fine-tuning" if rows and all(row["is_own"] for row in rows) else "CLUE"
    lines = [
        f"# {title}: {settings['model']}",
        "",
        f"In percent, mean and sample deviation over the runs. Protocol: {select}. The baseline is the best answer "
        "without reading: the most frequent class or labels, the mean, a random choice.",
        "",
        *markdown_table(
            ("task", "metric", "selection", "dev", "baseline", "runs", "learning rate", "trained on", "selected on"),
            (
                (
                    row["task"],
                    row["metric"],
                    format_spread(row["selection"]),
                    format_spread(row["dev"]),
                    "" if row["baseline"] is None else f"{row['baseline']:.2f}",
                    row["runs"],
                    f"{row['learning_rate']:g}",
                    f"{row['training_rows']:,} rows",
                    f"{row['selection_rows']:,} rows",
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
        lines += task_section(row, result)
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


def draw_scores(
    rows: Sequence[Mapping[str, Any]], model: str, picture: Path, other: Mapping[str, Mapping[str, Any]]
) -> Path:
    """Draw dev scores by task, beside those of another model and published ones; a bar of several runs has a deviation.

    Args:
        rows: rows of the report
        model: name of the model
        picture: PNG file to write
        other: task -> row of another model's report; empty where there is none
    """
    figure = new_figure(max(5.0, 1.2 * len(rows) + 3.0), 4.0)
    axes = figure.subplots()
    positions = np.arange(len(rows))
    theirs = [other.get(row["task"], {}) for row in rows]
    series: list[tuple[str, Sequence[Mapping[str, Any]]]] = [(f"{model}, dev", rows)]
    if any(theirs):
        name = next(row["model"] for row in theirs if row)
        same = [row if row.get("metric") == own["metric"] else {} for row, own in zip(theirs, rows, strict=True)]
        series.append((f"{name}, dev", same))
    width = 0.5 / len(series)
    for number, (label, drawn) in enumerate(series):
        means = [row["dev"]["mean"] if row else math.nan for row in drawn]
        deviations = [
            math.nan if not row or row["dev"]["deviation"] is None else row["dev"]["deviation"] for row in drawn
        ]
        shifted = positions + (number - (len(series) - 1) / 2) * width
        axes.bar(shifted, means, width, yerr=deviations, capsize=4, color=COLORS[number], label=label)
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

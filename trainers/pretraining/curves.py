"""Pictures of runs from their JSON lines: one run with all its curves, or several runs side by side."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...runtime.pictures import COLORS, new_figure, save_picture_atomically
from .log import CAUSAL_LOSS, CAUSAL_SHARE, LOG_FILE, MASKED_LOSS, read_training_log

WIDTH_INCHES = 9.0
PANEL_INCHES = 1.9
TRAINING, EVALUATION, WORDS = COLORS[:3]
BASELINE = "#777777"


def draw_curves(log: str | Path, picture: str | Path, title: str = "Pre-training", last_step: float = math.inf) -> Path:
    """Draw the curves of a run and return the picture; the panel of accuracies is there if the run was evaluated.

    Args:
        log: the run's folder, or its JSON-lines file
        picture: PNG file to write
        title: title of the picture
        last_step: later steps are left out; all are drawn by default

    Raises:
        FileNotFoundError: If there is no log.
        ImportError: If matplotlib is not installed.
        ValueError: If the log holds no training step.
    """
    records, training = _read(log, last_step)
    accuracy = [_draw_accuracy] if any("eval_token_accuracy" in record for record in records) else []
    panels: list[Callable[[Any, Sequence[dict[str, Any]]], None]]
    panels = [_draw_loss, *accuracy, _draw_learning_rate, _draw_masking_rate]
    figure, columns = _panels([2, *[1] * (len(panels) - 1)], title)
    for draw, axes in zip(panels, columns, strict=True):
        draw(axes, records)
        _finish(axes, training)
    _name_stages(columns[0], training)
    columns[-1].set_xlabel(_step_label(training[-1]))
    figure.align_ylabels(columns)
    return save_picture_atomically(figure, picture)


def draw_comparison(logs: Sequence[str | Path], picture: str | Path, title: str = "Pre-training") -> Path:
    """Draw several runs in one picture: loss of training, loss and accuracy of evaluation, learning rate.

    Args:
        logs: folders of the runs, or their JSON-lines files; a run is named by the part of its path that differs
        picture: PNG file to write
        title: title of the picture

    Raises:
        FileNotFoundError, ImportError, ValueError: As `draw_curves`.
    """
    runs = {name: _read(log) for name, log in zip(_run_names(logs), logs, strict=True)}
    keys = {
        "loss": "loss in training\n(nats per masked token)",
        "eval_loss": "loss in evaluation\n(nats per masked token)",
        "eval_token_accuracy": "evaluation\naccuracy of tokens",
        "learning_rate": "learning rate",
    }
    shown = [key for key in keys if any(key in record for records, _ in runs.values() for record in records)]
    figure, columns = _panels([2 if key.endswith("loss") else 1 for key in shown], title)
    for key, axes in zip(shown, columns, strict=True):
        for number, (name, (records, _)) in enumerate(runs.items()):
            style = {"marker": "o", "markersize": 4} if key.startswith("eval") else {"linewidth": 1}
            _plot(axes, records, key, name, color=COLORS[number % len(COLORS)], **style)
        axes.set_ylabel(keys[key])
        if key == "eval_token_accuracy":
            _in_percent(axes)
        _finish(axes, [])
    columns[-1].set_xlabel("optimizer step")
    figure.align_ylabels(columns)
    return save_picture_atomically(figure, picture)


def _run_names(logs: Sequence[str | Path]) -> list[str]:
    """Name every run by its folder, or by its path where folders have the same name; a run given twice is refused."""
    folders = [Path(log).absolute() if Path(log).is_dir() else Path(log).absolute().parent for log in logs]
    files = [Path(log).stem if not Path(log).is_dir() and Path(log).name != LOG_FILE else None for log in logs]
    for names in ([file or folder.name for folder, file in zip(folders, files, strict=True)], list(map(str, logs))):
        if len(set(names)) == len(names):
            return names
    raise ValueError(f"a run is given twice: {', '.join(map(str, logs))}; give each once")


def _read(log: str | Path, last_step: float = math.inf) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return all lines of a log up to a step, and those of training."""
    records = [_of_masks(record) for record in read_training_log(log) if record.get("step", 0) <= last_step]
    training = [record for record in records if "loss" in record]
    if not training:
        raise ValueError(f"{log} holds no training step; let the run reach its first logging step")
    return records, training


def _of_masks(record: dict[str, Any]) -> dict[str, Any]:
    """Return a line with the loss of masked tokens alone, as that of other runs is; it may lack a loss then."""
    if CAUSAL_SHARE not in record:
        return record
    kept = {name: value for name, value in record.items() if name != "loss"}
    return {**kept, "loss": record[MASKED_LOSS]} if MASKED_LOSS in record else kept


def _panels(heights: list[int], title: str) -> tuple[Any, Any]:
    """Return a figure and its panels, one over the other, as high as `heights` says."""
    figure = new_figure(WIDTH_INCHES, PANEL_INCHES * sum(heights), title)
    return figure, figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]


def _draw_loss(axes: Any, records: Sequence[dict[str, Any]]) -> None:
    _plot(axes, records, "loss", "training, at the scheduled masking rate", color=TRAINING)
    _plot(axes, records, CAUSAL_LOSS, "training, next tokens", color=WORDS, marker=".", linestyle="none")
    _plot(axes, records, "eval_loss", "evaluation, at a fixed masking rate", color=EVALUATION, marker="o")
    guess = [record["eval_unigram_loss"] for record in records if "eval_unigram_loss" in record]
    if guess:
        axes.axhline(guess[-1], label="guess from token frequencies, evaluation", color=BASELINE, linestyle="--")
    axes.set_ylabel("loss\n(nats per masked token)")


def _draw_accuracy(axes: Any, records: Sequence[dict[str, Any]]) -> None:
    _plot(axes, records, "token_accuracy", "masked tokens, training batches", color=TRAINING, alpha=0.4, linewidth=1)
    _plot(axes, records, "eval_word_accuracy", "masked words", color=WORDS, marker="s")
    _plot(axes, records, "eval_token_accuracy", "masked tokens", color=EVALUATION, marker="o")
    guess = [record["eval_unigram_token_accuracy"] for record in records if "eval_unigram_token_accuracy" in record]
    if guess:
        axes.axhline(guess[-1], label="most frequent token", color=BASELINE, linestyle="--")
    axes.set_ylim(bottom=0)
    _in_percent(axes)
    axes.set_ylabel("accuracy")


def _draw_learning_rate(axes: Any, records: Sequence[dict[str, Any]]) -> None:
    _plot(axes, records, "learning_rate", None, color=TRAINING)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("learning rate")


def _draw_masking_rate(axes: Any, records: Sequence[dict[str, Any]]) -> None:
    _plot(axes, records, "mask_rate", "realised", color=TRAINING, marker=".", linestyle="none", alpha=0.6)
    _plot(axes, records, "mask_rate_target", "target", color=EVALUATION, linewidth=1)
    _in_percent(axes)
    axes.set_ylabel("masking rate\n(share of tokens)")


def _in_percent(axes: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0, decimals=0))


def _plot(axes: Any, records: Sequence[dict[str, Any]], key: str, label: str | None, **style: Any) -> None:
    """Draw one column of the log over the steps, if the log has it."""
    points = [(record["step"], record[key]) for record in records if key in record]
    if points:
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, label=label, **style)


def _finish(axes: Any, training: Sequence[dict[str, Any]]) -> None:
    """Mark the borders of the stages, and keep grid, frame and legend in the background."""
    for border in _stage_borders(training):
        axes.axvline(border, color="black", linestyle=":", linewidth=1)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", fontsize="small", frameon=False)


def _stage_borders(training: Sequence[dict[str, Any]]) -> list[float]:
    """Return where stages meet: half way between the last line of one and the first line of the next."""
    pairs = zip(training, training[1:], strict=False)
    return [(one["step"] + two["step"]) / 2 for one, two in pairs if one.get("stage") != two.get("stage")]


def _name_stages(axes: Any, training: Sequence[dict[str, Any]]) -> None:
    """Write the number of each stage over its part of the axis, if there is more than one."""
    borders = _stage_borders(training)
    edges = [training[0]["step"], *borders, training[-1]["step"]]
    for number, (left, right) in enumerate(zip(edges, edges[1:], strict=False), start=1):
        if borders:
            style = {"ha": "center", "va": "bottom", "fontsize": "small", "transform": axes.get_xaxis_transform()}
            axes.text((left + right) / 2, 1.01, f"stage {number}", **style)


def _step_label(last: dict[str, Any]) -> str:
    """Return the label of the horizontal axis, with the size of a step where the log says it."""
    if not last.get("positions_seen"):
        return "optimizer step"
    return f"optimizer step of {round(last['positions_seen'] / last['step']):,} positions"

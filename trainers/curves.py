"""One picture of a run from its JSON lines: loss, learning rate and masking rate over the steps."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .training_log import read_training_log

DOTS_PER_INCH = 100
SIZE_INCHES = (8.0, 9.0)


def draw_curves(log: str | Path, picture: str | Path, title: str = "Pre-training") -> Path:
    """Draw the curves of a run.

    Args:
        log: The run's folder, or its JSON-lines file.
        picture: PNG file to write.
        title: Title of the picture.

    Returns:
        The picture's path.

    Raises:
        FileNotFoundError: If there is no log.
        ImportError: If matplotlib is not installed.
        ValueError: If the log holds no training step.
    """
    records = read_training_log(log)
    training = [record for record in records if "loss" in record]
    if not training:
        raise ValueError(f"{log} holds no training step; let the run reach its first logging step")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("drawing curves needs matplotlib: pip install 'chinese-modernbert[train]'") from error
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    figure.suptitle(title)
    loss, rate, masked = figure.subplots(3, 1, sharex=True, height_ratios=(2, 1, 1))
    _plot(loss, training, "loss", "training (scheduled masking rate)", alpha=0.9)
    _plot(loss, records, "eval_loss", "evaluation (fixed masking rate)", marker="o")
    _plot(loss, records, "eval_unigram_loss", "unigram guess (evaluation)", linestyle="--")
    loss.set(ylabel="loss (nats a masked token)", title="Loss")
    _plot(rate, training, "learning_rate", "learning rate")
    rate.set(ylabel="learning rate", title="Learning rate")
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    _plot(masked, training, "mask_rate_target", "target", linestyle="--")
    _plot(masked, training, "mask_rate", "realised", alpha=0.7)
    masked.set(ylabel="share of tokens", title="Masking rate", xlabel="optimizer step")
    for axes in (loss, rate, masked):
        _mark_stages(axes, training)
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize="small")
    target = Path(picture)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    figure.savefig(partial, format="png")
    os.replace(partial, target)
    return target


def _plot(axes: Any, records: Sequence[dict[str, Any]], key: str, label: str, **style: Any) -> None:
    """Draw one column of the log over the steps, if the log has it."""
    points = [(record["step"], record[key]) for record in records if key in record]
    if points:
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, label=label, **style)


def _mark_stages(axes: Any, training: Sequence[dict[str, Any]]) -> None:
    """Draw a vertical line where a stage begins."""
    changes = [
        later["step"]
        for earlier, later in zip(training, training[1:], strict=False)
        if later.get("stage") != earlier.get("stage")
    ]
    for number, step in enumerate(changes):
        axes.axvline(step, color="grey", linestyle=":", label="next stage" if number == 0 else None)

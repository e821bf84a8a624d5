"""What a masker does, in pictures: a text with boxed units, masked ones in color, and curves of rate and chances.

rich and matplotlib are imported when a picture is asked for; the masker itself needs neither.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.pictures import COLORS, new_figure
from .batch import MaskedBatch, PackedBatch
from .masker import Masker

if TYPE_CHECKING:
    from rich.text import Text

# Colors of the three outcomes of a masked token. Our default.
STYLES = {"mask": "white on red", "random": "black on yellow", "keep": "black on green"}
# Passes averaged for the chance of masking. Our default: a standard error under 0.5 points on 500 words.
EPOCHS = 50


def render(masked: MaskedBatch, tokens: list[str], mask_token_id: int, row: int = 0) -> "Text":
    """Draw one row: each unit in brackets, masked tokens colored by outcome.

    Red is [MASK] (original>▢), yellow a replaced token (original>replacement), green one kept as it is (original=), so
    that a terminal without colors shows the same.

    Args:
        masked: the masker's result
        tokens: the text of each token of the vocabulary
        mask_token_id: the id of [MASK]
        row: which row

    Returns:
        A `rich` text; `rich.print` shows it.
    """
    from rich.text import Text

    text = Text()
    units = masked["units"].take(masked["units"].row == row)
    ids, labels, selected = masked["input_ids"][row], masked["labels"][row], masked["selected"][row]
    for position, length in zip(units.position.tolist(), units.length.tolist(), strict=True):
        text.append("[", style="dim")
        for at in range(position, position + length):
            if not selected[at]:
                text.append(tokens[ids[at]])
                continue
            original, now = tokens[labels[at]], int(ids[at])
            outcome = "mask" if now == mask_token_id else "keep" if now == labels[at] else "random"
            after = {"mask": ">▢", "random": f">{tokens[now]}", "keep": "="}[outcome]
            text.append(original + after, style=STYLES[outcome])
        text.append("]", style="dim")
    return text


def chance_by(
    masker: Masker,
    batch: PackedBatch,
    progress: float,
    class_of: Callable[[MaskedBatch], np.ndarray],
    epochs: int = EPOCHS,
) -> dict[int, float]:
    """Measure how often a unit of each class is masked.

    Args:
        masker: see `Masker`
        batch: text to try it on
        progress: training step / all steps
        class_of: gives each unit's class, integer `[U]`: `unit_lengths`, `unit_tags("pos")` or
            `unit_frequency_classes(counts)`
        epochs: passes to average

    Returns:
        Class -> share of its units that were masked.
    """
    seen: dict[int, int] = {}
    hits: dict[int, int] = {}
    for epoch in range(epochs):
        masked = masker(batch, progress, epoch)
        classes = class_of(masked)
        for counts, part in ((seen, classes), (hits, classes[masked["chosen"]])):
            for name, count in zip(*np.unique(part, return_counts=True), strict=True):
                counts[int(name)] = counts.get(int(name), 0) + int(count)
    return {name: hits.get(name, 0) / seen[name] for name in sorted(seen)}


def unit_lengths(masked: MaskedBatch) -> np.ndarray:
    """Class of a unit = its tokens, int64 `[U]`."""
    return masked["units"].length


def unit_tags(batch: PackedBatch, tag: str) -> Callable[[MaskedBatch], np.ndarray]:
    """Class of a unit = the tag of its first token (part of speech, stratum, ...)."""
    column = batch.get("tags", {})[tag].reshape(-1)
    return lambda masked: column[masked["units"].start]


def unit_frequency_classes(batch: PackedBatch, counts: np.ndarray) -> Callable[[MaskedBatch], np.ndarray]:
    """Class of a unit = how many digits the corpus count of its first token has (1: under 10, 2: under 100, ...)."""
    digits = np.floor(np.log10(np.maximum(counts, 1))).astype(np.int64) + 1
    classes = digits[batch["input_ids"].reshape(-1)]
    return lambda masked: classes[masked["units"].start]


def draw_curves(
    masker: Masker,
    chances: Mapping[str, Mapping[Any, float]],
    path: str | Path,
    title: str = "",
    progress: float | None = None,
) -> Path:
    """Draw the rate over training and one bar chart for each table of chances, as a picture file.

    Args:
        masker: its rate is drawn
        chances: name of the class ("tokens in the unit", ...) -> `chance_by` result
        path: the file; its ending chooses the format
        title: above the picture
        progress: marked on the rate curve

    Returns:
        The path.
    """
    figure = new_figure(3.2 * (1 + len(chances)), 2.4)
    axes = figure.subplots(1, 1 + len(chances), squeeze=False)[0]
    times = np.linspace(0, 1, 201)
    axes[0].plot(times, [masker.target_rate(time) for time in times], color=COLORS[1])
    if progress is not None:
        axes[0].axvline(progress, color="grey", linewidth=0.8)
    axes[0].set(xlabel="progress", ylabel="masked share", ylim=(0, None))
    for axis, (name, values) in zip(axes[1:], chances.items(), strict=True):
        axis.bar(range(len(values)), list(values.values()), color=COLORS[0])
        names = [str(key) for key in values]
        axis.set_xticks(range(len(values)), names, rotation=90 if max(map(len, names), default=0) > 2 else 0)
        axis.axhline(masker.target_rate(0.5 if progress is None else progress), color="grey", linewidth=0.8)
        axis.set(xlabel=name, ylabel="chance of masking")
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=80)
    return Path(path)

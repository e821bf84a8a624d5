"""Two pictures of sentence encoders: cosines of alike and of different pairs, and how the variance is spread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...runtime.files import save_picture_atomically
from .files import NEGATIVE_SCORE, POSITIVE_SCORE
from .scores import SentenceScores

BINS = 60
# Okabe and Ito's colours, told apart by colour-blind readers too.
POSITIVE, NEGATIVE = "#0072b2", "#d55e00"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


class Named(Protocol):
    """An encoder with its scores."""

    @property
    def name(self) -> str:
        """What the picture calls it."""
        ...

    @property
    def scores(self) -> SentenceScores:
        """All its results."""
        ...


def draw_similarity(encoders: Sequence[Named], picture: Path) -> Path:
    """Draw the histogram of cosines, one column an encoder, one row a set.

    Args:
        encoders: Mostly two: before and after training.
        picture: PNG file to write.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    sets = list(encoders[-1].scores.similarity)
    figure, panels = _panels(len(sets), len(encoders))
    for row, name in zip(panels, sets, strict=True):
        for axes, one in zip(row, encoders, strict=True):
            found = one.scores.similarity.get(name)
            axes.set_title(f"{name}: {one.name}", fontsize="small")
            if found is None:
                continue
            edges = np.linspace(min(found.cosines.min(), 0.0), 1.0, BINS + 1)
            for label, colour, chosen in (
                ("alike", POSITIVE, found.gold >= POSITIVE_SCORE),
                ("different", NEGATIVE, found.gold <= NEGATIVE_SCORE),
            ):
                if chosen.any():
                    style = {"alpha": 0.55, "density": True, "color": colour}
                    axes.hist(found.cosines[chosen], edges, label=f"{label} ({chosen.sum():,})", **style)
            axes.set_xlabel("cosine")
            axes.legend(fontsize="x-small", frameon=False)
        row[0].set_ylabel("density of pairs")
    return save_picture_atomically(figure, picture, dpi=100)


def draw_spectrum(encoders: Sequence[Named], picture: Path) -> Path:
    """Draw the singular values of the centred vectors of each set's texts, as shares of their squares' sum.

    Args:
        encoders: One line each; those without a space on a set are left out there.
        picture: PNG file to write.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    sets = list(encoders[-1].scores.similarity)
    figure, panels = _panels(len(sets), 1)
    for axes, name in zip(panels[:, 0], sets, strict=True):
        for number, one in enumerate(encoders):
            found = one.scores.similarity.get(name)
            if found is not None and found.space is not None:
                shares = np.array(found.space.spectrum)
                colour = COLOURS[number % len(COLOURS)]
                axes.loglog(np.arange(1, len(shares) + 1), shares.clip(min=1e-6), label=one.name, color=colour)
        axes.set_title(name, fontsize="small")
        axes.set_xlabel("principal component")
        axes.set_ylabel("share of the variance")
        axes.grid(alpha=0.25)
        axes.legend(fontsize="x-small", frameon=False)
    return save_picture_atomically(figure, picture, dpi=100)


def _panels(rows: int, columns: int) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("the pictures need matplotlib: pip install 'chinese-modernbert[train]'") from error
    figure = Figure(figsize=(max(6.0, 4.5 * columns), 3.0 * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)

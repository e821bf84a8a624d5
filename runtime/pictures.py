"""Pictures of reports: one way to make a figure, one set of colors, one way to write it.

matplotlib is imported when a picture is drawn, so that everything else works without it.
"""

import os
from pathlib import Path
from typing import Any

from .files import followed, make_folder
from .lazy import optional_import

# Okabe and Ito, "Color Universal Design" (2008), without yellow: color-blind readers can tell them apart too.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DOTS_PER_INCH = 100


def new_figure(width: float, height: float, title: str | None = None) -> Any:
    """Return an empty matplotlib figure that belongs to no window.

    Args:
        width, height: inches
        title: bold, above everything; None = no title

    Raises:
        ImportError: If matplotlib is not installed.
    """
    with optional_import("pictures"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    if title:
        figure.suptitle(title, fontweight="bold")
    return figure


def save_picture_atomically(figure: Any, path: str | Path, **options: Any) -> Path:
    """Save a matplotlib figure as PNG under a temporary name, then rename it to `path`, which is returned."""
    target = followed(path)
    make_folder(target.parent)
    partial = target.with_name(f".{target.name}.partial")
    try:
        figure.savefig(partial, format="png", **{"dpi": DOTS_PER_INCH, "metadata": {"Software": None}, **options})
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return Path(path)

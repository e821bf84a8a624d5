"""The command `pretrain plot`."""

from dataclasses import dataclass
from pathlib import Path

from ...runtime.options import argument


@dataclass
class PlotArguments:
    """Which runs to draw, and where."""

    runs: list[str] = argument(list, "Folders of runs, or their training_log.jsonl; several are compared.")
    picture: str | None = argument(None, "PNG file; null: curves.png in the first folder.")
    title: str = argument("Pre-training", "Title of the picture.")


def run_plot(args: PlotArguments) -> Path:
    """Draw the runs and return the picture.

    Raises:
        ValueError: If no run is named.
        FileNotFoundError: If a run has no log.
    """
    from .curves import draw_comparison, draw_curves

    if not args.runs:
        raise ValueError("no run is given; name folders of runs: pretrain plot run1 run2")
    first = Path(args.runs[0])
    picture = args.picture or str((first if first.is_dir() else first.parent) / "curves.png")
    if len(args.runs) == 1:
        return draw_curves(first, picture, args.title)
    return draw_comparison(args.runs, picture, args.title)

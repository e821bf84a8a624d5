"""The report of explanations: how faithful each method is, in Markdown and JSON, a picture, and the page of texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...runtime.environment import describe_environment
from ...runtime.files import write_text_atomically
from ...runtime.markdown import markdown_table
from ...runtime.pictures import COLORS, new_figure, save_picture_atomically
from .curves import GRID, Faithfulness
from .explained import ExplainedText
from .mask_reaction import MaskReaction
from .page import explanations_page

REPORT, REPORT_JSON, PICTURE, PAGE = "report.md", "report.json", "curves.png", "words.html"
RANDOM, SEARCH = "random", "search"
DIGITS = 6

_ABOUT = (
    "Deletion masks the most important words first, and the area of what that costs (comprehensiveness) should be "
    "large. Sufficiency leaves them alone, and its area should be small. In brackets: 95 % of bootstrap samples over "
    "texts, of a difference from random orders paired by text; one is beyond chance where its interval leaves 0 out."
)
_SEARCHED = "search chooses its orders by these very curves: read it as what an order can reach."


def write_explanations(
    output: Path,
    texts: Sequence[ExplainedText],
    methods: Mapping[str, Faithfulness],
    reaction: MaskReaction,
    settings: Mapping[str, Any],
) -> Path:
    """Write the report.

    Args:
        output: its folder
        texts: the explained texts
        methods: each method's curves, random among them
        reaction: what the model makes of texts without words
        settings: what was asked for, and what it took

    Returns:
        The Markdown file.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    environment = describe_environment("tokenizers", "numpy")
    content = {
        "settings": dict(settings),
        "environment": environment,
        "mask_reaction": {
            **{name: getattr(reaction, name) for name in ("distance", "accuracy", "most_frequent", "is_strong")},
            **{name: getattr(reaction, name).round(DIGITS).tolist() for name in ("answers", "spread")},
        },
        "shares": GRID.round(DIGITS).tolist(),
        "methods": {name: _plain(one) for name, one in methods.items()},
        "texts": [one.as_dict() for one in texts],
    }
    write_text_atomically(output / REPORT_JSON, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    title = f"Explanations: {settings['model']}"
    notes = [reaction.sentence() + "."]
    write_text_atomically(output / PAGE, explanations_page(title, notes, texts))
    draw_curves(methods, output / PICTURE)
    lines = [f"# {title}", "", *notes, "", _ABOUT, *([_SEARCHED] if SEARCH in methods else []), ""]
    lines += markdown_table(
        ("method", "comprehensiveness", "over random", "sufficiency", "under random"),
        ((name, *_cells(one)) for name, one in methods.items()),
    )
    lines += ["", f"![curves]({PICTURE})", "", f"The words of every text, shaded: [{PAGE}]({PAGE})."]
    for name, rows in (("Settings", settings), ("Machine", environment)):
        lines += ["", f"## {name}", "", *(f"- {key}: {value}" for key, value in rows.items())]
    write_text_atomically(output / REPORT, "\n".join(lines) + "\n")
    return output / REPORT


def _plain(one: Faithfulness) -> dict[str, Any]:
    return {
        "comprehensiveness": asdict(one.comprehensiveness),
        "sufficiency": asdict(one.sufficiency),
        "better_than_random": {name: asdict(gain) for name, gain in one.gains.items()},
        "deletion_curve": one.deletion_curve.round(DIGITS).tolist(),
        "sufficiency_curve": one.sufficiency_curve.round(DIGITS).tolist(),
    }


def _cells(one: Faithfulness) -> list[str]:
    """Return area and difference from random, of comprehensiveness and of sufficiency."""
    cells = []
    for name, area in (("comprehensiveness", one.comprehensiveness), ("sufficiency", one.sufficiency)):
        gain = one.gains.get(name)
        cells += [str(area), "" if gain is None else gain.signed]
    return cells


def draw_curves(methods: Mapping[str, Faithfulness], picture: Path) -> Path:
    """Draw the mean curves of every method, deletion left and sufficiency right.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    figure = new_figure(9, 3.8)
    panels = (
        ("deletion: most important words masked", "deletion_curve"),
        ("sufficiency: most important words kept", "sufficiency_curve"),
    )
    for axes, (title, curve) in zip(figure.subplots(1, 2, sharey=True), panels, strict=True):
        for number, (name, one) in enumerate(methods.items()):
            dashed = {"linestyle": "--", "color": "0.4"} if name == RANDOM else {"color": COLORS[number % len(COLORS)]}
            axes.plot(GRID, getattr(one, curve), marker=".", label=name, **dashed)
        axes.set_title(title, fontsize="small")
        axes.set_xlabel("share of words")
        axes.grid(alpha=0.25)
        axes.legend(fontsize="x-small", frameon=False)
    figure.axes[0].set_ylabel("lost from the decision")
    return save_picture_atomically(figure, picture)

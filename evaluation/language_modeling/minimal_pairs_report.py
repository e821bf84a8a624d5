"""The report of minimal pairs: how often each model prefers the good sentence; Markdown, JSON and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...runtime.environment import describe_environment
from ...runtime.files import write_text_atomically
from ...runtime.markdown import markdown_table
from ...runtime.pictures import COLORS, new_figure, save_picture_atomically
from ..estimates import Estimate
from .minimal_pairs import SCORES, PairScores

REPORT, REPORT_JSON, PICTURE = "report.md", "report.json", "phenomena.png"
# The score of the tables by phenomenon and of the picture; the authors of ZhoBLiMP prefer it, since it favors neither
# short nor long sentences.
SHOWN_SCORE = "slln"


@dataclass(frozen=True)
class ScoredModel:
    """A model of the report.

    Attributes:
        name: what the rows call it
        forwards: distinct masked rows that went through it, by masking
        seconds: time that they took, by masking
        scores: by masking, then by score
    """

    name: str
    forwards: dict[str, int]
    seconds: dict[str, float]
    scores: dict[str, dict[str, PairScores]]


def write_pairs_report(output: Path, models: Sequence[ScoredModel], settings: Mapping[str, Any]) -> Path:
    """Write the report of models that were scored on the same pairs.

    Args:
        output: folder of the report
        models: in the order of the rows
        settings: what was asked for

    Returns:
        The Markdown file.
    """
    environment = describe_environment("tokenizers", "numpy")
    content = {"settings": dict(settings), "environment": environment, "models": [asdict(one) for one in models]}
    write_text_atomically(output / REPORT_JSON, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    lines = [
        "# Minimal pairs",
        "",
        "Percent of pairs whose good sentence has the higher score, mean over paradigms; "
        f"{settings['pairs']:,} pairs of {settings['paradigms']} paradigms. "
        "Intervals hold 95 % of bootstrap samples of the pairs. Chance is 50.",
        "",
        *markdown_table(("model", "masked at once", *SCORES, "forwards", "seconds"), _overall_rows(models)),
    ]
    for masking in models[0].scores:
        lines += [
            "",
            f"## By phenomenon: {SHOWN_SCORE}, one {masking} masked at once",
            "",
            *_phenomena(models, masking),
        ]
    picture = draw_phenomena(models, output / PICTURE)
    lines += ["", f"![percent of pairs by phenomenon]({picture.name})", "", "## Settings", ""]
    lines += [f"- {name}: {value}" for name, value in settings.items()]
    lines += ["", "## Machine", "", *(f"- {name}: {value}" for name, value in environment.items())]
    write_text_atomically(output / REPORT, "\n".join(lines) + "\n")
    return output / REPORT


def _overall_rows(models: Sequence[ScoredModel]) -> list[list[str]]:
    return [
        [
            one.name,
            masking,
            *(_percent(found[score].overall) for score in SCORES),
            f"{one.forwards[masking]:,}",
            f"{one.seconds[masking]:.0f}",
        ]
        for one in models
        for masking, found in one.scores.items()
    ]


def _phenomena(models: Sequence[ScoredModel], masking: str) -> list[str]:
    """Return the table of one masking, a column a model."""
    found = [one.scores[masking][SHOWN_SCORE].phenomena for one in models]
    rows = ([name, *(_percent(one[name]) for one in found)] for name in found[0])
    return markdown_table(("phenomenon", *(one.name for one in models)), rows)


def _percent(share: Estimate) -> str:
    return f"{share.value:.2%} ({share.low:.1%} to {share.high:.1%})".replace("%", "")


def draw_phenomena(models: Sequence[ScoredModel], picture: Path) -> Path:
    """Draw the share of right pairs by phenomenon, a mark a model, with intervals; of the first masking.

    Args:
        models: scored on the same pairs
        picture: PNG file to write

    Raises:
        ImportError: If matplotlib is not installed.
    """
    masking = next(iter(models[0].scores))
    first = models[0].scores[masking][SHOWN_SCORE].phenomena
    names = sorted(first, key=lambda name: first[name].value)
    figure = new_figure(7.0, 1.2 + 0.3 * len(names) * max(1.0, len(models) / 2))
    axes = figure.subplots()
    for number, one in enumerate(models):
        found = [one.scores[masking][SHOWN_SCORE].phenomena[name] for name in names]
        heights = [place + 0.6 * ((number + 0.5) / len(models) - 0.5) for place in range(len(names))]
        reach = [[100 * (each.value - each.low) for each in found], [100 * (each.high - each.value) for each in found]]
        values = [100 * each.value for each in found]
        color = COLORS[number % len(COLORS)]
        axes.errorbar(values, heights, xerr=reach, fmt="o", markersize=4, color=color, label=one.name)
    axes.axvline(50, color="0.6", linewidth=1, linestyle=":")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(f"percent of pairs right ({SHOWN_SCORE}, one {masking} masked at once; dotted: chance)")
    axes.grid(axis="x", alpha=0.25)
    axes.legend(fontsize="small", frameon=False)
    return save_picture_atomically(figure, picture)

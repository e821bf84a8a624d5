"""Explained texts as one HTML page: each word shaded by its weight, for every method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import numpy as np

from .explained import ExplainedText

# Blue and vermilion of the colors of pictures (`runtime.pictures.COLORS`): color-blind readers can tell them apart.
FOR, AGAINST = "0,114,178", "213,94,0"
DARKEST = 0.75  # black text stays readable on it

_STYLE = """\
body{font:16px/1.9 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111;background:#fff}
h1{font-size:1.4em}h2{font-size:1em;margin:1.5em 0 .2em}p{margin:.2em 0}
.m{color:#555;font-size:.8em;display:inline-block;min-width:8.5em}.t{white-space:pre-wrap}
.t span{border-radius:.2em;padding:.1em 0}.cut{color:#999}"""


def explanations_page(title: str, notes: Sequence[str], texts: Sequence[ExplainedText]) -> str:
    """Return the page; whatever texts, labels and titles hold is shown, never run.

    Args:
        title: title of the page
        notes: lines above the texts
        texts: what is shown
    """
    lines = [
        "<!DOCTYPE html>",
        '<html lang="zh"><head><meta charset="utf-8">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(note)}</p>" for note in notes),
        f'<p class="t"><span style="background:rgba({FOR},.5)">for the label</span> '
        f'<span style="background:rgba({AGAINST},.5)">against it</span>; the weight of a word is in its title.</p>',
    ]
    for one in texts:
        lines += _section(one)
    return "\n".join([*lines, "</body></html>"]) + "\n"


def _section(one: ExplainedText) -> list[str]:
    gold = "" if one.gold is None else f", right: {_shown(one.gold)}"
    heading = f"{one.identity}: {_shown(one.predicted)}{gold}; explained: {one.explained} {one.value:.3f}"
    lines = [f"<h2>{escape(heading)}</h2>"]
    for method, weights in one.weights.items():
        strongest = float(np.abs(weights).max(initial=0.0)) or 1.0
        parts = ("".join(_pieces(text, part, one, weights, strongest)) for part, text in enumerate(one.texts))
        lines.append(f'<p><span class="m">{escape(method)}</span><span class="t">{" ┊ ".join(parts)}</span></p>')
    return lines


def _pieces(text: str, part: int, one: ExplainedText, weights: np.ndarray, strongest: float) -> Iterator[str]:
    """Yield the pieces of a text in order, words shaded; together they hold every character once."""
    done = 0
    for unit, weight in zip(one.units, weights.tolist(), strict=True):
        if unit.part != part or unit.end <= done:
            continue
        start = max(unit.start, done)
        yield escape(text[done:start])
        shade = DARKEST * abs(weight) / strongest
        color = FOR if weight > 0 else AGAINST
        style = f"background:rgba({color},{shade:.2f})"
        yield f'<span style="{style}" title="{weight:+.4f}">{escape(text[start : unit.end])}</span>'
        done = unit.end
    if done < len(text):
        yield f'<span class="cut">{escape(text[done:])}</span>'


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " + ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)

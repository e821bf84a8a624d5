"""Answers as HTML. Every text of a user or a model is escaped here, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from answers import Candidate, Filling, Scored, Token

# Passages that are marked in a document.
NEAREST = 3
# Colors of style.css that units take in turn.
UNIT_COLORS = 4
MASK_SIGN = "▢"


def message(text: str) -> str:
    """Return a message to the user."""
    return f'<p class="note" role="status">{escape(text)}</p>'


def filling(answer: Filling, blank_title: str) -> str:
    """Return the sentence with its best words, and below it the candidates of each blank."""
    words = [f"<mark>{escape(word)}</mark>" for word in answer.words] + [""]
    sentence = "".join(escape(piece) + word for piece, word in zip(answer.pieces, words, strict=True))
    blanks = [
        f"<section><h2>{escape(blank_title.format(number=number))}</h2>{_bars(candidates)}</section>"
        for number, candidates in enumerate(answer.candidates, start=1)
    ]
    return f'<p class="sentence">{sentence}</p><div class="blanks">{"".join(blanks)}</div>'


def _bars(candidates: Sequence[Candidate]) -> str:
    """Return words with bars as long as their probabilities."""
    return _rows([(one.word, one.probability, f"{one.probability:.0%}") for one in candidates])


def ranking(rows: Sequence[Scored]) -> str:
    """Return texts with their similarity, in the order given."""
    return _rows([(row.text, row.score, f"{row.score:.2f}") for row in rows])


def _rows(rows: Sequence[tuple[str, float, str]]) -> str:
    """Return a list of (text, share, value); a share under 0 has no bar."""
    items = [
        f'<li style="--share:{max(0.0, min(1.0, share)):.3f}"><span>{escape(text)}</span><b>{value}</b></li>'
        for text, share, value in rows
    ]
    return f'<ol class="bars">{"".join(items)}</ol>'


def table(texts: Sequence[str], similarities: Sequence[Sequence[float]]) -> str:
    """Return numbered texts above a table of all pairs; the nearer, the darker."""
    names = "".join(f"<li>{escape(text)}</li>" for text in texts)
    head = "".join(f'<th scope="col">{number}</th>' for number in range(1, len(texts) + 1))
    body = "".join(
        f'<tr><th scope="row">{number}</th>'
        + "".join(f'<td style="--share:{max(0.0, value):.3f}">{value:.2f}</td>' for value in row)
        + "</tr>"
        for number, row in enumerate(similarities, start=1)
    )
    return f'<ol class="names">{names}</ol><table class="heat"><tr><td></td>{head}</tr>{body}</table>'


def document(rows: Sequence[Scored]) -> str:
    """Return the passages in their own order, the nearest marked with rank and similarity."""
    ranks = {row.position: rank for rank, row in enumerate(rows[:NEAREST], start=1)}
    parts = []
    for row in sorted(rows, key=lambda row: row.position):
        rank = ranks.get(row.position)
        mark = f'<b aria-label="{rank}">{rank}<small>{row.score:.2f}</small></b>' if rank else ""
        parts.append(f'<p class="{f"near near-{rank}" if rank else "far"}">{mark}{escape(row.text)}</p>')
    return f'<div class="document">{"".join(parts)}</div>'


def tokens(plain: Sequence[Token], masked: Sequence[Token], words: dict[str, str]) -> str:
    """Return the tokens in the colors of their units, the same with masks, and counts.

    Args:
        plain: all tokens of a text
        masked: the same tokens, some of them masked
        words: texts of the interface in one language
    """
    characters, units = sum(len(token.text) for token in plain), len({token.unit for token in plain})
    ratio = f"{characters / len(plain):.2f}"
    counts = words["counts"].format(characters=characters, tokens=len(plain), units=units, ratio=ratio)
    return (
        f'<p class="counts">{escape(counts)}</p><h2>{escape(words["split"])}</h2>{_units(plain)}'
        f"<h2>{escape(words['masked'])}</h2>{_units(masked)}"
        f'<p class="legend">{escape(words["legend"])}</p>'
    )


def _units(rows: Sequence[Token]) -> str:
    """Return the tokens of each unit side by side in one color."""
    parts = []
    for unit, group in groupby(rows, key=lambda token: token.unit):
        inner = "".join(f"<i{' class=masked' if row.is_masked else ''}>{_shown(row)}</i>" for row in group)
        parts.append(f'<span class="unit unit-{unit % UNIT_COLORS}">{inner}</span>')
    return f'<div class="units">{"".join(parts)}</div>'


def _shown(token: Token) -> str:
    """Return how a token is shown: white space by a sign, a later byte of a character by its form."""
    if token.is_masked:
        return MASK_SIGN
    return escape(token.text).replace("\n", "⏎").replace(" ", "␣") if token.text else f"<s>{escape(token.form)}</s>"

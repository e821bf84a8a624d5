"""The words of a tokenized row: what is masked at once, and which characters it covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...tokenization.normalization import fold_width
from ...tokenization.word_segmentation import WordSegmenter
from ...tokenization.word_starts import word_starts_from_offsets


@dataclass(frozen=True)
class WordUnit:
    """A word of one of a row's texts.

    Attributes:
        text: its characters
        part: number of its text in the row, 0 or 1
        start: its first character in that text
        end: one past its last
        positions: its tokens in the row
    """

    text: str
    part: int
    start: int
    end: int
    positions: tuple[int, ...]


def word_units(
    texts: Sequence[str],
    offsets: Sequence[Sequence[int]],
    parts: Sequence[int | None],
    segmenter: WordSegmenter,
) -> list[WordUnit]:
    """Return the words of a row in order; every token that is not special belongs to exactly one.

    Neither a token nor a word is split: a token that crosses a word's border joins both words, the tokens of a rare
    character are one, and a blank belongs to the word before it.

    Args:
        texts: the row's texts
        offsets: first character and end of each token in its text
        parts: number of each token's text; None for special tokens
        segmenter: cuts the words

    Raises:
        ValueError: If the segmenter's words do not join to the text.
    """
    units: list[WordUnit] = []
    for part, text in enumerate(texts):
        positions = np.array([i for i, one in enumerate(parts) if one == part], dtype=np.int64)
        if not len(positions):
            continue
        spans = np.array([offsets[i] for i in positions], dtype=np.int64).reshape(-1, 2)
        starts = word_starts_from_offsets(fold_width(text), spans, segmenter)
        starts &= spans[:, 1] > spans[:, 0]
        starts[0] = True
        for own in np.split(np.arange(len(positions)), np.flatnonzero(starts)[1:]):
            visible = spans[own][spans[own, 1] > spans[own, 0]]
            start, end = (int(visible[:, 0].min()), int(visible[:, 1].max())) if len(visible) else (0, 0)
            units.append(WordUnit(text[start:end], part, start, end, tuple(positions[own].tolist())))
    return units

"""More texts from one: words are masked one after another, and a word drawn from the model's first takes the place.

Source: iterative mask filling, Kesgin and Amasyali (arXiv 2401.01830), here on words of a segmenter. The number of
words to draw from is our default, since the paper's was not found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...modeling.blanks_chinese_modernbert import drawn
from ...modeling.filling_chinese_modernbert import WordFiller
from ...runtime.counter_random import CounterRandom
from ...tokenization.pre_tokenization import HAN
from ...tokenization.word_segmentation import WordSegmenter
from .pieces import cut_pieces
from .similarity import SimilarityFloor

_HAN_WORD = re.compile(f"[{HAN}]+")
# No text holds it: two characters of private use around the usual mark.
MARK = "\ue000{mask}\ue001"


@dataclass
class _Copy:
    """A copy of a piece of a text while it changes.

    Attributes:
        original: the piece
        words: its words, changed so far
        places: of the words to change, in order
        seeds: what decides each draw
    """

    original: str
    words: list[str]
    places: list[int]
    seeds: list[int]

    def with_word(self, place: int, word: str) -> str:
        return "".join([*self.words[:place], word, *self.words[place + 1 :]])


def augment_texts(
    filler: WordFiller,
    segmenter: WordSegmenter,
    texts: Sequence[str],
    *,
    share: float = 0.3,
    copies: int = 1,
    among: int = 10,
    seed: int = 0,
    first: int = 0,
    floor: SimilarityFloor | None = None,
) -> list[list[str]]:
    """Return copies of every text with some of its Chinese words changed; a long one changes by pieces, see `pieces`.

    Args:
        filler: fills the blanks
        segmenter: cuts the words, and tells whether a found word is one
        texts: texts
        share: chance of each word to be changed
        copies: of each text
        among: a word is drawn from so many, by their scores
        seed: decides which words are changed and what is drawn
        first: number of the first text; a text with the same number changes alike, whatever stands beside it
        floor: a word that takes the copy of a piece below it is not taken; default: none

    Raises:
        ValueError: For a number out of range, or what `WordFiller.fill` refuses.
    """
    if not 0 <= share <= 1 or copies < 1 or among < 1:
        raise ValueError(f"share={share}, copies={copies}, among={among}: give a share from 0 to 1 and numbers from 1")
    cut = [cut_pieces(segmenter.cut(text), filler) for text in texts]
    found = [
        [_begin(pieces, share, CounterRandom(seed, copy, np.array([first + number]))) for copy in range(copies)]
        for number, pieces in enumerate(cut)
    ]
    every = [piece for own in found for copy in own for piece in copy]
    for step in range(max((len(copy.places) for copy in every), default=0)):
        working = [copy for copy in every if step < len(copy.places)]
        _change(filler, segmenter, working, step, among, floor)
    return [["".join(word for piece in copy for word in piece.words) for copy in own] for own in found]


def _begin(pieces: Sequence[list[str]], share: float, chance: CounterRandom) -> list[_Copy]:
    """Return a copy of a text, given as the words of its pieces, with the places to change in an order of chance."""
    copies, before = [], 0
    for words in pieces:
        places = np.array([place for place, word in enumerate(words) if _HAN_WORD.fullmatch(word)], dtype=np.int64)
        row, numbers = np.zeros(len(places), dtype=np.int64), before + places
        chosen = chance("chosen", row, numbers) < share
        order = np.argsort(chance("order", row, numbers)[chosen], kind="stable")
        seeds = (chance("draw", row, numbers)[chosen] * 2.0**52).astype(np.int64)
        copies.append(_Copy("".join(words), [*words], places[chosen][order].tolist(), seeds[order].tolist()))
        before += len(words)
    return copies


def _change(
    filler: WordFiller,
    segmenter: WordSegmenter,
    copies: Sequence[_Copy],
    step: int,
    among: int,
    floor: SimilarityFloor | None,
) -> None:
    """Change one word of every copy of a piece."""

    def is_word(text: str) -> bool:
        return bool(_HAN_WORD.fullmatch(text)) and len(segmenter.cut(text)) == 1

    blanks = [copy.with_word(copy.places[step], MARK) for copy in copies]
    found = filler.fill(blanks, blank=MARK, top=among, accept=is_word)
    pairs = [
        (copy, drawn(fillings, copy.seeds[step])[0].words[0].text)
        for copy, fillings in zip(copies, found, strict=True)
        if fillings
    ]
    changed = [copy.with_word(copy.places[step], word) for copy, word in pairs]
    kept = [True] * len(pairs) if floor is None else floor.keeps([copy.original for copy, _ in pairs], changed)
    for (copy, word), is_kept in zip(pairs, kept, strict=True):
        if is_kept:
            copy.words[copy.places[step]] = word

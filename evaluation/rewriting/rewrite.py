"""Texts without some words: each is masked and filled with another, and the most alike of the fillings is taken.

Source: CondBERT, Dale et al. (arXiv 2109.08914): which words are marked, candidates of one to three tokens, from left
to right, ranked by score and similarity. Its list of words is English and is not used: the user brings one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ...modeling.blanks_chinese_modernbert import Filling
from ...modeling.filling_chinese_modernbert import WordFiller
from ...runtime.text_files import read_lines
from ...tokenization.word_segmentation import LexiconSegmenter, search_form
from .augment import MARK
from .pieces import cut_pieces
from .similarity import SimilarityFloor

# Words with at least this share of the highest score in a text are changed. Source: CondBERT's code.
SHARE_OF_HIGHEST = 0.5
# What a cosine weighs against the score of a filling, a logarithm. Source: our default; CondBERT's code has 100 for
# cosines of word vectors, which differ far more than those of whole texts.
SIMILARITY_WEIGHT = 10.0


def read_lexicon(path: str | Path) -> dict[str, float]:
    """Read words to change: one a line, or a word, a tab and its score; without scores all have 1.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With file and line, for a score that is no number above 0, one without a word, or a word with two
            scores; or if there is no word.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no words at {file}; give a file with a word a line, or word, tab, score")
    lexicon: dict[str, float] = {}
    for number, line in read_lines(file):
        if not line.strip():
            continue
        word, tab, given = line.partition("\t")
        word, given = word.strip(), given.strip()
        try:
            score = float(given) if tab else 1.0
        except ValueError:
            score = 0.0
        if not word or not 0 < score < float("inf"):
            raise ValueError(f"{file}:{number}: {given!r} is no score above 0 of {word!r}; give word, tab, number")
        if lexicon.setdefault(word, score) != score:
            raise ValueError(f"{file}:{number}: {word!r} has the scores {lexicon[word]:g} and {score:g}; give one")
    if not lexicon:
        raise ValueError(f"{file} holds no word; give one a line")
    return lexicon


class _Work(NamedTuple):
    """A piece to change: number of its text, its own number, what it is with its blanks, and words it may not hold."""

    text: int
    piece: int
    blank: str
    barred: frozenset[str]


def rewrite_texts(
    filler: WordFiller,
    texts: Sequence[str],
    lexicon: Mapping[str, float],
    floor: SimilarityFloor,
    *,
    top: int = 10,
    least_score: float = 0.0,
    seed: int | None = None,
) -> list[str | None]:
    """Return every text without the listed words, one that has none as it is; None where no words fit.

    A long text is changed by pieces, see `pieces`; it is None where one of them has no words. Words that are changed
    have at least `least_score`, and half of the highest score in the text; with equal scores these are all of them, and
    no listed word is in the output.

    Args:
        filler: fills the blanks
        texts: texts
        lexicon: score of each word to change
        floor: how alike a text must stay, and what ranks the fillings
        top: fillings to choose from
        least_score: a word with a lower score stays
        seed: draw the fillings to choose from; default: the best ones
    """
    scores = {search_form(word): score for word, score in lexicon.items()}
    segmenter = LexiconSegmenter(lexicon)
    parts: list[list[str | None]] = []
    work: list[_Work] = []
    for number, text in enumerate(texts):
        words = segmenter.cut(text)
        highest = max((scores.get(search_form(word), 0.0) for word in words), default=0.0)
        least = max(least_score, SHARE_OF_HIGHEST * highest)
        barred = frozenset(word for word, score in scores.items() if 0 < score >= least)
        pieces = cut_pieces(words, filler)
        work += _to_change(number, pieces, barred)
        parts.append(["".join(piece) for piece in pieces])
    fillings = filler.fill(
        [one.blank for one in work],
        blank=MARK,
        top=filler.width,
        order="left_to_right",
        accept=lambda word: not any(search_form(one) in scores for one in segmenter.cut(word)),
        seed=None if seed is None else [seed + one.text + one.piece * 2**32 for one in work],
        names=[f"text {one.text}" for one in work],
    )
    for one, found in zip(work, fillings, strict=True):
        clean = [filling for filling in found if one.barred.isdisjoint(map(search_form, segmenter.cut(filling.text)))]
        parts[one.text][one.piece] = _most_alike(str(parts[one.text][one.piece]), clean[:top], floor)
    return [None if None in pieces else "".join(map(str, pieces)) for pieces in parts]


def _to_change(number: int, pieces: Sequence[Sequence[str]], barred: frozenset[str]) -> Iterator[_Work]:
    """Yield the pieces of a text that hold a barred word."""
    for place, piece in enumerate(pieces):
        blank = "".join(MARK if search_form(word) in barred else word for word in piece)
        if MARK in blank:
            yield _Work(number, place, blank, barred)


def _most_alike(text: str, found: Sequence[Filling], floor: SimilarityFloor) -> str | None:
    """Return the filling with the highest score and similarity above the floor; None where there is none."""
    cosines = floor.cosines([text] * len(found), [one.text for one in found])
    ranked = [
        (one.score + SIMILARITY_WEIGHT * float(cosine), one.text)
        for one, cosine in zip(found, cosines, strict=True)
        if cosine >= floor.least
    ]
    return max(ranked)[1] if ranked else None

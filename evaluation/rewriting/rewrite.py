"""Texts without some words: each is masked and filled with another, and the most alike of the fillings is taken.

Source: CondBERT, Dale et al. (arXiv 2109.08914): which words are marked, candidates of one to three tokens, from left
to right, ranked by score and similarity. Its list of words is English and is not used: the user brings one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...modeling.blanks_chinese_modernbert import Filling
from ...modeling.filling_chinese_modernbert import WordFiller
from ...runtime.text_files import read_lines
from ...tokenization.word_segmentation import LexiconSegmenter, search_form
from .augment import MARK
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
        ValueError: With file and line, for a score that is no number above 0; or if there is no word.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no words at {file}; give a file with a word a line, or word, tab, score")
    lexicon = {}
    for number, line in read_lines(file):
        word, tab, score = line.strip().partition("\t")
        if not word:
            continue
        try:
            lexicon[word] = float(score) if tab else 1.0
        except ValueError:
            lexicon[word] = 0.0
        if not 0 < lexicon[word] < float("inf"):
            raise ValueError(f"{file}:{number}: {score!r} is no score above 0; give word, tab, number")
    if not lexicon:
        raise ValueError(f"{file} holds no word; give one a line")
    return lexicon


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

    Words that are changed have at least `least_score`, and half of the highest score in the text; with equal scores
    these are all of them, and no listed word is in the output.

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
    cut = [segmenter.cut(text) for text in texts]
    blanks, barred = [], []
    for words in cut:
        found = [scores.get(search_form(word), 0.0) for word in words]
        least = max(least_score, SHARE_OF_HIGHEST * max(found, default=0.0))
        marked = [0 < score >= least for score in found]
        blanks.append("".join(MARK if mark else word for word, mark in zip(words, marked, strict=True)))
        barred.append({search_form(word) for word, score in scores.items() if score >= least and score > 0})
    work = [number for number, text in enumerate(blanks) if MARK in text]
    fillings = filler.fill(
        [blanks[number] for number in work],
        blank=MARK,
        top=filler.width,
        order="left_to_right",
        accept=lambda word: not any(search_form(one) in scores for one in segmenter.cut(word)),
        seed=None if seed is None else [seed + number for number in work],
    )
    result: list[str | None] = list(texts)
    for number, found in zip(work, fillings, strict=True):
        clean = [one for one in found if not barred[number] & set(map(search_form, segmenter.cut(one.text)))]
        result[number] = _most_alike(texts[number], clean[:top], floor)
    return result


def _most_alike(text: str, found: Sequence[Filling], floor: SimilarityFloor) -> str | None:
    """Return the filling with the highest score and similarity above the floor; None where there is none."""
    cosines = floor.cosines([text] * len(found), [one.text for one in found])
    ranked = [
        (one.score + SIMILARITY_WEIGHT * float(cosine), one.text)
        for one, cosine in zip(found, cosines, strict=True)
        if cosine >= floor.least
    ]
    return max(ranked)[1] if ranked else None

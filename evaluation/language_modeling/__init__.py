"""Scores of a masked language model: masked words, blanks, whole texts, minimal pairs."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from ...modeling.blanks_chinese_modernbert import Filling, Word
    from ...modeling.filling_chinese_modernbert import WordFiller, fill_words
    from .blanks import Blank, FilledBlank, fill_blanks, read_blanks
    from .masked_words import MaskedLanguageModelingScores, MaskedTokens, UnigramBaseline
    from .minimal_pairs import MinimalPair, read_pairs, score_pairs
    from .pseudo_likelihood import score_texts
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Blank",
    "FilledBlank",
    "Filling",
    "MaskedLanguageModelingScores",
    "MaskedTokens",
    "MinimalPair",
    "UnigramBaseline",
    "Word",
    "WordFiller",
    "fill_blanks",
    "fill_words",
    "read_blanks",
    "read_pairs",
    "score_pairs",
    "score_texts",
]

"""Scores of a masked language model: masked words and blanks."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .fill_mask import WordCandidate, fill_blank
    from .masked_words import MaskedLanguageModelingScores, MaskedTokens, UnigramBaseline
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["MaskedLanguageModelingScores", "MaskedTokens", "UnigramBaseline", "WordCandidate", "fill_blank"]

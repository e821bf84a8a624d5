"""Scores of a masked language model: masked words and blanks."""

from .masked_words import MaskedLanguageModelingScores, MaskedTokens, UnigramBaseline

__all__ = ["MaskedLanguageModelingScores", "MaskedTokens", "UnigramBaseline"]

"""Task tables, metrics and scoring."""

from .masked_language_modeling import MaskedLanguageModelingScores, MaskedTokens, UnigramBaseline

__all__ = ["MaskedLanguageModelingScores", "MaskedTokens", "UnigramBaseline"]

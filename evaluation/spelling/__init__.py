"""Spelling correction: pairs, confusion sets, noise, scores and the report."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .confusion import ConfusionSet, read_confusion
    from .metrics import Counts, SpellingScores, correction_rows, count_sentences, spelling_scores
    from .noise import SpellingNoise, corrupt_text, read_noise
    from .pairs import SpellingPair, read_spelling_pairs
    from .report import ScoredCorrector, write_spelling_report
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "ConfusionSet",
    "Counts",
    "ScoredCorrector",
    "SpellingNoise",
    "SpellingPair",
    "SpellingScores",
    "correction_rows",
    "corrupt_text",
    "count_sentences",
    "read_confusion",
    "read_noise",
    "read_spelling_pairs",
    "spelling_scores",
    "write_spelling_report",
]

"""Sentence sets, similarity, baselines and the report."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .files import read_rows
    from .mteb import run_mteb
    from .rows import ScoredPair, Triplet
    from .scores import evaluate_encoder, evaluate_retrieval
    from .sets import SENTENCE_SETS, SentenceSet
    from .similarity import compare_similarity, score_similarity
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "SENTENCE_SETS",
    "ScoredPair",
    "SentenceSet",
    "Triplet",
    "compare_similarity",
    "evaluate_encoder",
    "evaluate_retrieval",
    "read_rows",
    "run_mteb",
    "score_similarity",
]

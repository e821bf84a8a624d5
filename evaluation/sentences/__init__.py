"""Sentence sets, similarity, retrieval, their baselines and the report."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .files import read_rows
    from .mteb import run_mteb
    from .retrieval import RetrievalTask, score_retrieval, search_vectors
    from .rows import ScoredPair, Triplet
    from .scores import evaluate_encoder, evaluate_retrieval
    from .sets import SENTENCE_SETS, SentenceSet
    from .similarity import compare_similarity, score_similarity
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "RetrievalTask",
    "SENTENCE_SETS",
    "ScoredPair",
    "SentenceSet",
    "Triplet",
    "compare_similarity",
    "evaluate_encoder",
    "evaluate_retrieval",
    "read_rows",
    "run_mteb",
    "score_retrieval",
    "score_similarity",
    "search_vectors",
]

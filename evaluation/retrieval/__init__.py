"""Search of every kind over one form of task: searchers, measures, what they cost, and the report."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .bm25 import Bm25Searcher
    from .combined import FusedSearcher, RerankingSearcher
    from .engines import export_index
    from .expansion import explain
    from .late_interaction import LateInteractionSearcher
    from .loading import load_search_model
    from .measures import score_retrieval
    from .reading import read_retrieval_task
    from .report import write_search_report
    from .results import SearchResult, measure_search
    from .searcher import Searcher
    from .sparse import SparseSearcher
    from .tasks import RetrievalTask
    from .vectors import DenseSearcher, search_vectors
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Bm25Searcher",
    "DenseSearcher",
    "FusedSearcher",
    "LateInteractionSearcher",
    "RerankingSearcher",
    "RetrievalTask",
    "SearchResult",
    "Searcher",
    "SparseSearcher",
    "explain",
    "export_index",
    "load_search_model",
    "measure_search",
    "read_retrieval_task",
    "score_retrieval",
    "search_vectors",
    "write_search_report",
]

"""Search of every kind over one form of task, and its measures."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .measures import score_retrieval
    from .tasks import RetrievalTask
    from .vectors import search_vectors
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["RetrievalTask", "score_retrieval", "search_vectors"]

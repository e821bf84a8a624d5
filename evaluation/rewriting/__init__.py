"""Texts whose words a masked language model changes: for more training data, or to be rid of some words."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .augment import augment_texts
    from .rewrite import read_lexicon, rewrite_texts
    from .similarity import SimilarityFloor
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["SimilarityFloor", "augment_texts", "read_lexicon", "rewrite_texts"]

"""Masking for pre-training: numpy only, deterministic, one pipeline for the published methods."""

from .batch import IGNORED_LABEL, MaskedBatch, PackedBatch, UnitTable, word_ids_from_starts
from .corruption import Replace
from .draw import Draw
from .masker import ClassLoss, Masker
from .presets import chinese_modernbert
from .rates import Cosine, Piecewise, UniformRate
from .similar_words import SimilarWords
from .units import ColumnUnits, NGramUnits, OneTokenPerUnit, TokenUnits
from .vocabulary import MaskVocabulary
from .weights import ColumnWeights, TableWeights, TagWeights

__all__ = [
    "IGNORED_LABEL",
    "ClassLoss",
    "ColumnUnits",
    "ColumnWeights",
    "Cosine",
    "Draw",
    "MaskVocabulary",
    "MaskedBatch",
    "Masker",
    "NGramUnits",
    "OneTokenPerUnit",
    "PackedBatch",
    "Piecewise",
    "Replace",
    "SimilarWords",
    "TableWeights",
    "TagWeights",
    "TokenUnits",
    "UniformRate",
    "UnitTable",
    "chinese_modernbert",
    "word_ids_from_starts",
]

"""Masking for pre-training: numpy only, deterministic, one pipeline for the published methods."""

from ...runtime.counter_random import CounterRandom
from ...runtime.token_rows import IGNORED_LABEL
from .batch import MaskedBatch, PackedBatch, UnitTable
from .corruption import MaskVocabulary, Replace
from .feedback import AccuracyRule, FeedbackTable, LossRule, TagLossRule
from .masker import ClassLoss, Masker
from .presets import MASKING_PRESETS, chinese_modernbert
from .rates import Cosine, Piecewise, UniformRate
from .similar_words import SimilarWords
from .statistics import MaskingStatistics
from .tags import PhraseTagger, WordTagger, lexicon_tagger
from .units import ColumnUnits, NGramUnits, OneTokenPerUnit, TokenUnits
from .weights import ColumnWeights, TableWeights, TagWeights

__all__ = [
    "AccuracyRule",
    "FeedbackTable",
    "LossRule",
    "MaskingStatistics",
    "MASKING_PRESETS",
    "PhraseTagger",
    "TagLossRule",
    "WordTagger",
    "lexicon_tagger",
    "IGNORED_LABEL",
    "ClassLoss",
    "ColumnUnits",
    "ColumnWeights",
    "Cosine",
    "CounterRandom",
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
]

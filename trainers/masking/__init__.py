"""Masking for pre-training: the pipeline needs numpy only, is deterministic, and serves the published methods."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from ...runtime.counter_random import CounterRandom
    from ...runtime.token_rows import IGNORED_LABEL
    from .batch import MaskedBatch, PackedBatch, UnitTable
    from .collator import DataCollatorForWholeWordMasking, MaskingEpochCallback
    from .corruption import MaskVocabulary, Replace
    from .feedback import AccuracyRule, FeedbackTable, LossRule, TagLossRule
    from .feedback_callback import MaskingFeedback
    from .masker import ClassLoss, Masker
    from .materials.similar_words import SimilarWords
    from .materials.tags import PhraseTagger, WordTagger, lexicon_tagger
    from .options import MaskArguments, masker_from_options
    from .presets import MASKING_PRESETS, chinese_modernbert
    from .preview_command import run_mask
    from .rates import Cosine, Piecewise, UniformRate
    from .statistics import MaskingStatistics
    from .trainer import MaskingRateCallback, MaskingTrainer
    from .units import ColumnUnits, NGramUnits, OneTokenPerUnit, TokenUnits
    from .weights import ColumnWeights, TableWeights, TagWeights
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "AccuracyRule",
    "ClassLoss",
    "ColumnUnits",
    "ColumnWeights",
    "Cosine",
    "CounterRandom",
    "DataCollatorForWholeWordMasking",
    "FeedbackTable",
    "IGNORED_LABEL",
    "LossRule",
    "MASKING_PRESETS",
    "MaskArguments",
    "MaskVocabulary",
    "MaskedBatch",
    "Masker",
    "MaskingEpochCallback",
    "MaskingFeedback",
    "MaskingRateCallback",
    "MaskingStatistics",
    "MaskingTrainer",
    "NGramUnits",
    "OneTokenPerUnit",
    "PackedBatch",
    "PhraseTagger",
    "Piecewise",
    "Replace",
    "SimilarWords",
    "TableWeights",
    "TagLossRule",
    "TagWeights",
    "TokenUnits",
    "UniformRate",
    "UnitTable",
    "WordTagger",
    "chinese_modernbert",
    "lexicon_tagger",
    "masker_from_options",
    "run_mask",
]

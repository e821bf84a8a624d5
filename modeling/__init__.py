"""The model as flat files that also ship to the Hub; importing this folder registers the Auto classes.

A file here imports its siblings with a single dot and nothing else of ours: a released folder holds these very bytes.
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from .configuration_chinese_modernbert import PRESETS, ChineseModernBertConfig
from .heads_chinese_modernbert import (
    ChineseModernBertForMaskedLM,
    ChineseModernBertForMultipleChoice,
    ChineseModernBertForQuestionAnswering,
    ChineseModernBertForSequenceClassification,
    ChineseModernBertForTokenClassification,
)
from .modeling_chinese_modernbert import ChineseModernBertModel, ChineseModernBertPreTrainedModel
from .spelling_chinese_modernbert import ChineseModernBertForSpellingCorrection

__all__ = [
    "PRESETS",
    "ChineseModernBertConfig",
    "ChineseModernBertForMaskedLM",
    "ChineseModernBertForMultipleChoice",
    "ChineseModernBertForQuestionAnswering",
    "ChineseModernBertForSequenceClassification",
    "ChineseModernBertForSpellingCorrection",
    "ChineseModernBertForTokenClassification",
    "ChineseModernBertModel",
    "ChineseModernBertPreTrainedModel",
]

AutoConfig.register(ChineseModernBertConfig.model_type, ChineseModernBertConfig, exist_ok=True)
for _auto_class, _model_class in (
    (AutoModel, ChineseModernBertModel),
    # Of several the Auto class takes the one that `architectures` of the configuration names, else the first.
    (AutoModelForMaskedLM, (ChineseModernBertForMaskedLM, ChineseModernBertForSpellingCorrection)),
    (AutoModelForMultipleChoice, ChineseModernBertForMultipleChoice),
    (AutoModelForQuestionAnswering, ChineseModernBertForQuestionAnswering),
    (AutoModelForSequenceClassification, ChineseModernBertForSequenceClassification),
    (AutoModelForTokenClassification, ChineseModernBertForTokenClassification),
):
    _auto_class.register(ChineseModernBertConfig, _model_class, exist_ok=True)

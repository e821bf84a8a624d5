"""Chinese ModernBERT: a Transformers model, its tokenizer, its training and its Hub release.

The names below are imported when they are first asked for, so that `import chinese_modernbert` loads nothing else. The
first model class registers all of them with Transformers' Auto classes.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .hub_release import build_release, convert_checkpoint, verify_release
    from .modeling import (
        ChineseModernBertConfig,
        ChineseModernBertForMaskedLM,
        ChineseModernBertForMultipleChoice,
        ChineseModernBertForQuestionAnswering,
        ChineseModernBertForSequenceClassification,
        ChineseModernBertForTokenClassification,
        ChineseModernBertModel,
    )
    from .tokenization import encode_documents, load_segmenter, load_tokenizer
    from .trainers.clue import ClueTrainer
    from .trainers.contrastive import ContrastiveTrainer
    from .trainers.data import run_prepare as prepare
    from .trainers.masking import (
        MASKING_PRESETS,
        DataCollatorForWholeWordMasking,
        Masker,
        MaskingTrainer,
        chinese_modernbert,
    )
    from .trainers.pretraining import PretrainingTrainer
    from .trainers.zero_mean_residual import ZeroMeanResidualCallback
else:
    # Nothing of ours may be imported above: pytest imports this file a second time, under the name of its folder.
    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .runtime.lazy import lazy_names

        return lazy_names(__name__)[0](name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__version__ = "0.1.0"
__all__ = [
    "MASKING_PRESETS",
    "ChineseModernBertConfig",
    "ChineseModernBertForMaskedLM",
    "ChineseModernBertForMultipleChoice",
    "ChineseModernBertForQuestionAnswering",
    "ChineseModernBertForSequenceClassification",
    "ChineseModernBertForTokenClassification",
    "ChineseModernBertModel",
    "ClueTrainer",
    "ContrastiveTrainer",
    "DataCollatorForWholeWordMasking",
    "Masker",
    "MaskingTrainer",
    "PretrainingTrainer",
    "ZeroMeanResidualCallback",
    "__version__",
    "build_release",
    "chinese_modernbert",
    "convert_checkpoint",
    "encode_documents",
    "load_segmenter",
    "load_tokenizer",
    "prepare",
    "verify_release",
]

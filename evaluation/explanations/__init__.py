"""Which words a classifier's decision rests on, and how faithful such explanations are."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .curves import Curves, Faithfulness, measure_curves, summarize
    from .explained import ExplainedText
    from .importance import gradient_times_input, leave_one_out, random_weights, search
    from .mask_reaction import MaskReaction, measure_mask_reaction
    from .masked_texts import MaskedTexts
    from .page import explanations_page
    from .report import write_explanations
    from .units import WordUnit, word_units
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Curves",
    "ExplainedText",
    "Faithfulness",
    "MaskReaction",
    "MaskedTexts",
    "WordUnit",
    "explanations_page",
    "gradient_times_input",
    "leave_one_out",
    "measure_curves",
    "measure_mask_reaction",
    "random_weights",
    "search",
    "summarize",
    "word_units",
    "write_explanations",
]

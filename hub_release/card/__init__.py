"""The model card and the facts that fill it."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .evaluation_facts import EvaluationFacts, read_evaluations
    from .model_card import render_model_card
    from .tokenizer_facts import read_tokenizer_metrics
    from .training_facts import TrainingFacts, read_training
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "EvaluationFacts",
    "TrainingFacts",
    "read_evaluations",
    "read_tokenizer_metrics",
    "read_training",
    "render_model_card",
]

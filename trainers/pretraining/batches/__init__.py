"""Micro-batches that are ready: masked where they are read, and laid out as one flat row."""

from .causal import is_causal_batch, next_tokens
from .flat import flat_row, masked_words
from .ready import FACTS, IS_CAUSAL, UNMASKED, BatchFacts, MaskedBatches, UnmaskedBatch

__all__ = [
    "FACTS",
    "IS_CAUSAL",
    "UNMASKED",
    "BatchFacts",
    "MaskedBatches",
    "UnmaskedBatch",
    "flat_row",
    "is_causal_batch",
    "masked_words",
    "next_tokens",
]

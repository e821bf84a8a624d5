"""Micro-batches that are ready: masked where they are read, and laid out as one flat row."""

from .flat import flat_row, masked_words
from .ready import FACTS, UNMASKED, BatchFacts, MaskedBatches, UnmaskedBatch

__all__ = [
    "FACTS",
    "UNMASKED",
    "BatchFacts",
    "MaskedBatches",
    "UnmaskedBatch",
    "flat_row",
    "masked_words",
]

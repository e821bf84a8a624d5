"""Pre-training objectives in place of plain masked language modeling; their own parameters exist in training alone."""

from .bag_of_words import BagOfWords, stop_ids
from .build import OPTIONS, PLAIN, build_objective, check_objective
from .mae_lm import MaskedAutoEncoder
from .objective import Items, Objective, ObjectiveBatch
from .retromae import RetroMae
from .z_loss import z_loss_part

__all__ = [
    "OPTIONS",
    "PLAIN",
    "BagOfWords",
    "Items",
    "MaskedAutoEncoder",
    "Objective",
    "ObjectiveBatch",
    "RetroMae",
    "build_objective",
    "check_objective",
    "stop_ids",
    "z_loss_part",
]

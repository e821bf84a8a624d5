"""The weights that a stage leaves, averaged with those it began with: more of what they knew stays.

Source: robust fine-tuning, Wortsman et al., 2022 (arXiv 2109.01903).
"""

import torch
from torch import nn


def copy_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of every parameter by its name; a tied one is there once."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@torch.no_grad()
def average_with(model: nn.Module, start: dict[str, torch.Tensor], share: float) -> None:
    """Replace every parameter by its average with an earlier value.

    Args:
        model: changed in place
        start: what `copy_weights` gave of the same model
        share: of the earlier value in the average, 0 to 1
    """
    for name, parameter in model.named_parameters():
        parameter.lerp_(start[name].to(parameter.device), share)

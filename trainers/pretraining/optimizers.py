"""The optimizers by name, and the parameter groups: weight decay on matrices, none on norms and biases."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from .stable_adamw import StableAdamW

logger = logging.getLogger(__name__)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"stable_adamw": StableAdamW, "adamw": torch.optim.AdamW}


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters into a decayed group and one without decay.

    Without decay are all parameters of fewer than two dimensions: the norms' scales and every bias. Embeddings and
    matrices decay. The rule looks at shapes, not at names, so that a renamed norm cannot slip into the wrong group.
    Source: ModernBERT's recipe (`filter_bias_norm_wd`).

    Args:
        model: the model; a tied matrix is counted once
        weight_decay: weight decay of the first group, which comes first
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def build_optimizer(
    name: str,
    model: nn.Module,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.98),
    eps: float = 1e-6,
    weight_decay: float = 1e-5,
) -> Optimizer:
    """Build the optimizer over the two parameter groups.

    Args:
        name: `stable_adamw` (decoupled decay) or `adamw` (torch's, decay multiplied by the learning rate)
        model: the model
        lr: peak learning rate
        betas: decay of the moments
        eps: term of the denominator
        weight_decay: decay of the first group

    Raises:
        ValueError: For an unknown name.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer='{name}' is not known; choose one of {', '.join(OPTIMIZERS)}")
    groups = parameter_groups(model, weight_decay)
    decayed, free = (sum(parameter.numel() for parameter in group["params"]) for group in groups)
    logger.info(
        "%s: %s parameters decay by %g, %s (norms and biases) do not", name, f"{decayed:,}", weight_decay, f"{free:,}"
    )
    return OPTIMIZERS[name](groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

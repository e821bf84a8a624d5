"""The optimizers by name, and the groups of parameters: which decay, which do not, which Muon takes."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ..options import PretrainingOptions
from .muon import MuonWithStableAdamW, torch_muon
from .stable_adamw import StableAdamW

logger = logging.getLogger(__name__)

MUON = "muon"
OPTIMIZERS = ("stable_adamw", "adamw", MUON)
# Devices whose fused AdamW this library relies on; every torch from 2.6 has it for them.
FUSED_DEVICES = ("cpu", "cuda")


def check_optimizer(options: PretrainingOptions) -> None:
    """Refuse options of the optimizer that would not act.

    Raises:
        ValueError: For an unknown name, a value outside its range, or an option of another optimizer.
        ImportError: If this torch does not have the optimizer.
    """
    if options.optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer='{options.optimizer}' is not known; choose one of {', '.join(OPTIMIZERS)}")
    if options.optimizer == MUON:
        torch_muon()
    for name in ("muon_learning_rate", "muon_momentum"):
        given, default = getattr(options, name), getattr(PretrainingOptions, name)
        if given != default and options.optimizer != MUON:
            raise ValueError(
                f"{name}={given} does nothing under optimizer='{options.optimizer}'; leave it out, or take '{MUON}'"
            )


def vocabulary_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Return the matrices with a row for each token: embeddings, and the decoder where it is not one with them."""
    found: dict[int, nn.Parameter] = {}
    for module in model.modules():
        decoder = module.get_output_embeddings() if hasattr(module, "get_output_embeddings") else None  # pyright: ignore[reportCallIssue]
        for owner in (module if isinstance(module, nn.Embedding) else None, decoder):
            weight = getattr(owner, "weight", None)
            if isinstance(weight, nn.Parameter):
                found[id(weight)] = weight
    return list(found.values())


def parameter_groups(
    model: nn.Module, weight_decay: float, weight_decay_embeddings: float | None = None
) -> list[dict[str, Any]]:
    """Split the trainable parameters into hidden matrices, embeddings (both decay), and those without decay.

    Without decay are all parameters of fewer than two dimensions: the norms' scales and every bias. The rule looks at
    shapes and modules, not at names, so that a renamed norm cannot slip into the wrong group.
    Source: ModernBERT's recipe (`filter_bias_norm_wd`).

    Args:
        model: the model; a tied matrix is counted once
        weight_decay: weight decay of the matrices
        weight_decay_embeddings: that of the matrices of `vocabulary_matrices`. Default: the same.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    vocabulary = {id(matrix) for matrix in vocabulary_matrices(model)}
    matrices = [parameter for parameter in parameters if parameter.ndim >= 2]
    of_embeddings = weight_decay if weight_decay_embeddings is None else weight_decay_embeddings
    return [
        {"params": [one for one in matrices if id(one) not in vocabulary], "weight_decay": weight_decay},
        {"params": [one for one in matrices if id(one) in vocabulary], "weight_decay": of_embeddings},
        {"params": [one for one in parameters if one.ndim < 2], "weight_decay": 0.0},
    ]


def build_optimizer(
    name: str,
    model: nn.Module,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.98),
    eps: float = 1e-6,
    weight_decay: float = 1e-5,
    weight_decay_embeddings: float | None = None,
    muon_lr: float | None = None,
    muon_momentum: float = 0.95,
) -> Optimizer:
    """Build the optimizer over the groups of parameters.

    Args:
        name: `stable_adamw` or `muon` (both take `weight_decay * lr / peak` off in a step) or `adamw` (torch's, fused
            where it can be; takes `weight_decay * lr` off)
        model: the model
        lr: peak learning rate
        betas: decay of the moments
        eps: term of the denominator
        weight_decay: decay of the matrices
        weight_decay_embeddings: decay of embeddings and decoder. Default: the same.
        muon_lr: peak learning rate of Muon's matrices. Default: `lr`.
        muon_momentum: decay of Muon's momentum

    Raises:
        ValueError: For an unknown name or values outside their range.
        ImportError: If this torch does not have the optimizer.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer='{name}' is not known; choose one of {', '.join(OPTIMIZERS)}")
    hidden, vocabulary, free = parameter_groups(model, weight_decay, weight_decay_embeddings)
    _log_groups(name, hidden, vocabulary, free)
    if name == MUON:
        return MuonWithStableAdamW([hidden], [vocabulary, free], lr, muon_lr, muon_momentum, betas, eps)
    groups = [hidden, vocabulary, free]
    if weight_decay_embeddings is None:
        # Two groups, in the order of the model, are what the checkpoints of older runs hold.
        matrices = [one for one in model.parameters() if one.requires_grad and one.ndim >= 2]
        groups = [{"params": matrices, "weight_decay": weight_decay}, free]
    if name == "adamw":
        return torch.optim.AdamW(groups, lr, betas, eps, fused=_can_be_fused(groups) or None)
    return StableAdamW(groups, lr, betas, eps)


def _can_be_fused(groups: Sequence[dict[str, Any]]) -> bool:
    """Return whether torch's fused AdamW takes all parameters."""
    parameters = [parameter for group in groups for parameter in group["params"]]
    return all(one.device.type in FUSED_DEVICES and one.is_floating_point() for one in parameters)


def _log_groups(name: str, *groups: dict[str, Any]) -> None:
    """Say how many parameters decay by how much, and which of them Muon takes."""
    sizes = [sum(parameter.numel() for parameter in group["params"]) for group in groups]
    logger.info(
        "%s: weight decay %g of %s parameters in hidden matrices%s, %g of %s in embeddings and decoder, none of %s in "
        "norms and biases",
        name,
        groups[0]["weight_decay"],
        f"{sizes[0]:,}",
        " (by Muon)" if name == MUON else "",
        groups[1]["weight_decay"],
        f"{sizes[1]:,}",
        f"{sizes[2]:,}",
    )

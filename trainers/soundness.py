"""Looks at what is about to be saved: numbers that are not finite stay so, and a model that holds one is lost."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.distributed.tensor import DTensor


def first_unsound(named: Iterable[tuple[str, torch.Tensor]], order: float = 2.0) -> str | None:
    """Return the name of the first tensor whose norm is not finite, or None.

    The sum of squares of weights over 1e19 is infinite in float32, so such weights, of which no model can make
    anything, are found too. All tensors are read in one transfer.

    Args:
        named: names and tensors; those of integers are passed over, of a sharded one this process's part is read
        order: of the norm; `inf` finds only what is not finite itself
    """
    parts = [(name, own_part(tensor)) for name, tensor in named]
    parts = [(name, part) for name, part in parts if part.is_floating_point() and part.numel()]
    if not parts:
        return None
    device = parts[0][1].device
    norms = [torch.linalg.vector_norm(part, order, dtype=torch.float32).to(device) for _, part in parts]
    is_sound = torch.stack(norms).isfinite().tolist()
    return next((name for (name, _), sound in zip(parts, is_sound, strict=True) if not sound), None)


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """Return the data of a tensor; of a sharded one what this process holds."""
    detached = tensor.detach()
    return detached.to_local() if isinstance(detached, DTensor) else detached


def refuse_unsound_weights(model: nn.Module, what: str) -> None:
    """Refuse a model that has weights without a finite norm.

    Args:
        model: the model
        what: begins the message: which model it is

    Raises:
        ValueError: If there is one.
    """
    if (name := first_unsound(model.named_parameters())) is not None:
        raise ValueError(f"{what}: weights are not finite ({name}), so nothing is saved; lower learning_rate")

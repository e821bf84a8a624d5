# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Losses as sums that are divided by what they sum over, and a cross-entropy that keeps no copy of its logits."""

from __future__ import annotations

from typing import Any

import torch

from .layout_chinese_modernbert import is_exporting

# Logits that are brought to float32 at once: they stay in the cache of a CPU, and fill a GPU. Our choice.
CPU_LOGITS, GPU_LOGITS = 2**21, 2**26


def mean_loss(
    summed: torch.Tensor,
    count: torch.Tensor | int,
    num_items_in_batch: torch.Tensor | int | None,
    training: bool = True,
) -> torch.Tensor:
    """Divide a summed loss by its items, or by those of the whole optimizer step where `Trainer` gives them.

    A batch without any item (nothing labelled) gives 0 in training, which adds nothing to a step. In evaluation it
    gives NaN, the mean of nothing: a 0 would pull the mean over batches down, and `Trainer` leaves NaN out of it.
    """
    items = torch.as_tensor(count if num_items_in_batch is None else num_items_in_batch, device=summed.device)
    return summed / (items.clamp(min=1) if training else items)


def labelled_cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    num_items_in_batch: torch.Tensor | int | None = None,
    ignore_index: int = -100,
    training: bool = True,
) -> torch.Tensor:
    """Return cross-entropy in float32 of logits `(..., classes)` against labels `(...)`, mean over labelled items.

    The other arguments are those of `mean_loss`.

    Raises:
        ValueError: If there is not one label for each row of logits.
    """
    labels = labels.reshape(-1).to(logits.device)
    logits = logits.reshape(-1, logits.shape[-1])
    if not is_exporting() and len(labels) != len(logits):
        raise ValueError(f"there are {len(labels)} labels for {len(logits)} rows of logits; give one for each")
    if is_exporting():  # a graph may hold any number of rows, and keeps what it likes
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        summed = torch.nn.functional.cross_entropy(exact, labels, reduction="sum", ignore_index=ignore_index)
    else:
        summed = _SummedCrossEntropy.apply(logits, labels, ignore_index)
    return mean_loss(summed, (labels != ignore_index).sum(), num_items_in_batch, training)


class _SummedCrossEntropy(torch.autograd.Function):
    """Sum of cross-entropies, float32, of logits `(n, classes)` against labels `(n,)`.

    Some rows at a time are brought to float32, and once more for the gradient: torch's own would keep
    `(n, classes)` float32 numbers from the one to the other, the largest tensor of a masked language model's step.
    """

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, labels: torch.Tensor, ignore_index: int) -> torch.Tensor:
        ctx.save_for_backward(logits, labels)
        ctx.ignore_index = ignore_index
        summed = torch.zeros((), dtype=torch.promote_types(logits.dtype, torch.float32), device=logits.device)
        for part, ids in zip(logits.split(_rows(logits)), labels.split(_rows(logits)), strict=True):
            exact = part.to(summed.dtype)
            summed += torch.nn.functional.cross_entropy(exact, ids, reduction="sum", ignore_index=ignore_index)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, None, None]:
        logits, labels = ctx.saved_tensors
        (upstream,) = gradients
        kept = labels != ctx.ignore_index
        index, scale = labels.where(kept, 0).unsqueeze(1), (upstream * kept).unsqueeze(1)
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            shares = torch.softmax(logits.to(upstream.dtype), dim=-1) * scale
            return shares.scatter_add(1, index, -scale).to(logits.dtype), None, None
        result = torch.empty_like(logits)
        rows = _rows(logits)
        parts = zip(*(tensor.split(rows) for tensor in (result, logits, index, scale)), strict=True)
        for target, part, ids, factors in parts:
            shares = torch.softmax(part.to(upstream.dtype), dim=-1).mul_(factors)
            target.copy_(shares.scatter_add_(1, ids, -factors))
        return result, None, None


def _rows(logits: torch.Tensor) -> int:
    """Return how many rows of logits are taken at once."""
    at_once = CPU_LOGITS if logits.device.type == "cpu" else GPU_LOGITS
    return max(1, at_once // max(logits.shape[-1], 1))

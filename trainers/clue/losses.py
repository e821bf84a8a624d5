"""One loss for every head: a sum over items divided by the items of the whole optimizer step.

The heads' own losses are not asked: those of BERT and ModernBERT are means over a batch although `Trainer` takes them
to be divided already, which makes gradients too large by the number of accumulated batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import log_softmax, nll_loss

from ...runtime.token_rows import IGNORED_LABEL


class TaskLoss:
    """Cross-entropy, or focal loss, with or without class weights; `compute_loss_func` of a Trainer.

    Args:
        class_weights: weight of each class, 1 on average over the training rows; None: all alike.
        focal_gamma: exponent of (1 - p) of focal loss (arXiv 1708.02002); 0: cross-entropy.
    """

    def __init__(self, class_weights: Sequence[float] | None = None, focal_gamma: float = 0.0) -> None:
        self.class_weights, self.focal_gamma = class_weights, focal_gamma

    def __call__(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Return the loss, a scalar in float32.

        Args:
            outputs: `logits` `(..., classes)`, or `start_logits` and `end_logits` `(batch, length)`.
            labels: `(...)`, -100 ignored; for answers `(batch, 2)`.
            num_items_in_batch: labels of the whole optimizer step; default: of this batch.
        """
        logits = stacked_logits(outputs)
        logits, labels = logits.reshape(-1, logits.shape[-1]).float(), labels.reshape(-1)
        kept = labels != IGNORED_LABEL
        logits, labels = logits[kept], labels[kept]
        logs = log_softmax(logits, dim=-1)
        losses = nll_loss(logs, labels, reduction="none")
        if self.focal_gamma:
            losses = losses * (1.0 - torch.exp(-losses)).clamp(min=1e-6) ** self.focal_gamma
        if self.class_weights is not None:
            losses = losses * losses.new_tensor(self.class_weights)[labels]
        items = torch.as_tensor(len(labels) if num_items_in_batch is None else num_items_in_batch, device=losses.device)
        return losses.sum() / items.clamp(min=1)


def stacked_logits(outputs: Any) -> torch.Tensor:
    """Return a head's logits; start and end of answers as `(batch, 2, length)`."""
    if "start_logits" in outputs:
        return torch.stack([outputs["start_logits"], outputs["end_logits"]], dim=1)
    return outputs["logits"]

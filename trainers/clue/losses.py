"""One loss for every head: a sum over items divided by the items of the whole optimizer step.

The heads' own losses are not asked: those of BERT and ModernBERT are means over a batch although `Trainer` takes them
to be divided already, which makes gradients too large by the number of accumulated batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from ...evaluation.clue.tasks import Kind
from ...runtime.token_rows import IGNORED_LABEL


class TaskLoss:
    """Cross-entropy, with or without class weights, or the loss of another kind; `compute_loss_func` of a Trainer.

    Args:
        kind: of several labels each has a binary cross-entropy, of numbers the error is squared
        class_weights: weight of each class, 1 on average over the training rows; None: all alike
    """

    def __init__(self, kind: Kind = "classification", class_weights: Sequence[float] | None = None) -> None:
        self.kind, self.class_weights = kind, class_weights

    def __call__(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Return the loss, a scalar in float32.

        Args:
            outputs: `logits` `(..., classes)`, or `start_logits` and `end_logits` `(batch, length)`
            labels: `(...)`, -100 ignored; for answers `(batch, 2)`; floats of the shape of `logits` for several labels,
                `(batch,)` for numbers
            num_items_in_batch: labels of the whole optimizer step; default: of this batch
        """
        logits = stacked_logits(outputs)
        if self.kind in ("multi_label", "regression"):
            compute = mse_loss if self.kind == "regression" else binary_cross_entropy_with_logits
            labels = labels.reshape(logits.shape).to(logits.device, torch.float32)
            return compute(logits.float(), labels, reduction="sum") / _items(labels.numel(), num_items_in_batch, logits)
        logits, labels = logits.reshape(-1, logits.shape[-1]).float(), labels.reshape(-1)
        kept = labels != IGNORED_LABEL
        logits, labels = logits[kept], labels[kept]
        losses = cross_entropy(logits, labels, reduction="none")
        if self.class_weights is not None:
            losses = losses * losses.new_tensor(self.class_weights)[labels]
        return losses.sum() / _items(len(labels), num_items_in_batch, losses)


def _items(own: int, of_step: torch.Tensor | int | None, like: torch.Tensor) -> torch.Tensor:
    """Return what a sum of losses is divided by: the items of the whole step; where they are not told, this batch's."""
    return torch.as_tensor(own if of_step is None else of_step, device=like.device).clamp(min=1)


def stacked_logits(outputs: Any) -> torch.Tensor:
    """Return a head's logits; start and end of answers as `(batch, 2, length)`."""
    if "start_logits" in outputs:
        return torch.stack([outputs["start_logits"], outputs["end_logits"]], dim=1)
    return outputs["logits"]

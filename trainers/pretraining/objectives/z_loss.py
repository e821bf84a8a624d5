"""The z-loss: keeps the logits from drifting, since softmax does not see a constant added to all of them."""

import torch

from ....runtime.token_rows import IGNORED_LABEL
from ...masking.feedback_callback import labelled_logits


def z_loss(
    logits: torch.Tensor, items: torch.Tensor | int | None = None, labels: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the sum of `logsumexp(logits)^2` over the rows, divided by `items`, in float32.

    Source: Chowdhery et al. 2022 (PaLM), section 5, there with factor 1e-4; the masked language model's form is ours.

    Args:
        logits: `[M, V]`
        items: labelled tokens of the whole optimizer step, so that accumulated micro-batches add up to the mean of the
            step; None takes M
        labels: int64 `[M]`, -100 at rows that count for nothing; None counts all
    """
    squared = torch.logsumexp(logits.float(), dim=-1).square()
    if labels is not None:
        squared = squared.masked_fill(labels == IGNORED_LABEL, 0.0)
    # A step in which nothing is masked has a loss of 0, as the model's own.
    return squared.sum() / (max(len(logits), 1) if items is None else torch.as_tensor(items).clamp(min=1))


def z_loss_part(
    factor: float, logits: torch.Tensor, labels: torch.Tensor, items: torch.Tensor | int | None
) -> dict[str, torch.Tensor]:
    """Return what the z-loss adds to the loss, by its name, or nothing for a factor of 0; see `labelled_logits`."""
    if not factor:
        return {}
    own_logits, own_labels = labelled_logits(logits, labels)
    return {"z_loss": factor * z_loss(own_logits, items, own_labels)}

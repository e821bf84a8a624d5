"""The z-loss: keeps the logits from drifting, since softmax does not see a constant added to all of them."""

import torch

from ....runtime.token_rows import IGNORED_LABEL


def labelled_logits(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits `[M, V]` and ids `[M]` at the labelled positions, in reading order.

    Args:
        logits: `[M, V]` already, or `[B, L, V]`
        labels: int64 `[B, L]`, -100 where there is nothing to predict
    """
    labelled = labels != IGNORED_LABEL
    return (logits[labelled] if logits.ndim == 3 else logits), labels[labelled]


def z_loss(logits: torch.Tensor, items: torch.Tensor | int | None = None) -> torch.Tensor:
    """Return the sum of `logsumexp(logits)^2` over the rows, divided by `items`, in float32.

    Source: Chowdhery et al. 2022 (PaLM), section 5, there with factor 1e-4; the masked language model's form is ours.

    Args:
        logits: `[M, V]`
        items: labelled tokens of the whole optimizer step, so that accumulated micro-batches add up to the mean of the
            step; None takes M
    """
    squared = torch.logsumexp(logits.float(), dim=-1).square().sum()
    return squared / (max(len(logits), 1) if items is None else items)


def z_loss_part(
    factor: float, logits: torch.Tensor, labels: torch.Tensor, items: torch.Tensor | int | None
) -> dict[str, torch.Tensor]:
    """Return what the z-loss adds to the loss, by its name, or nothing for a factor of 0; see the functions above."""
    return {"z_loss": factor * z_loss(labelled_logits(logits, labels)[0], items)} if factor else {}

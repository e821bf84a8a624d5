# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""A residual stream of mean zero: the weights that write into it, their projection, and how far they are from it.

LayerNorm equals RMSNorm on a vector of mean zero. Where every vector that is written into the stream has a mean of
zero over the width, a model with RMSNorm therefore gives the numbers of one with LayerNorm. Source: ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def subtract_mean(weight: torch.Tensor, dim: int) -> None:
    """Take the mean over one dimension out of a tensor, in place, computed in float32."""
    weight.sub_(weight.float().mean(dim=dim, keepdim=True))


def residual_writers(encoder: Any) -> Iterator[tuple[torch.Tensor, int]]:
    """Yield every tensor of an encoder that writes into the stream, and which of its dimensions is the width."""
    yield encoder.embeddings.tok_embeddings.weight, 1
    for layer in encoder.layers:
        for output in (layer.attn.Wo, layer.mlp.Wo):
            yield output.weight, 0
            if output.bias is not None:
                yield output.bias, 0


@torch.no_grad()
def center_residual(encoder: Any) -> None:
    """Project the writers of an encoder to mean zero, and give its first norm one gain for all dimensions, in place.

    Sharded tensors (DTensor) stay sharded.
    """
    for weight, dim in residual_writers(encoder):
        subtract_mean(weight, dim)
    gain = encoder.embeddings.norm.weight
    gain.copy_(gain.float().mean().expand_as(gain))


@torch.no_grad()
def residual_mean(encoder: Any) -> float:
    """Return how far the weights of an encoder are from a mean of zero: 0 for exactly there.

    Returns:
        The largest mean of a vector that is written into the stream, as a share of the root mean square of its matrix,
        or the relative spread of the first norm's gains, whichever is larger.
    """
    gain = encoder.embeddings.norm.weight.float()
    found = [(gain - gain.mean()).abs().max() / gain.abs().mean().clamp(min=1e-12)]
    for weight, dim in residual_writers(encoder):
        values = weight.float()
        found.append(values.mean(dim=dim).abs().max() / values.square().mean().sqrt().clamp(min=1e-12))
    return max(float(one) for one in found)

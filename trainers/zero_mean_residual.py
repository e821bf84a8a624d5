"""Keeps the residual stream of a model at mean zero while it trains, so that its release is a native ModernBERT too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from .after_step import AfterStep


class ZeroMeanResidualCallback(AfterStep):
    """Project the weights after each step of the optimizer, where the model's `config.zero_mean_residual` asks for it.

    Works in any Trainer, with any optimizer (fused ones too), under DDP, FSDP2, gradient accumulation and gradient
    clipping: whatever the step was, the projection follows it. Models that do not ask for it are left alone.
    """

    def follow(self, model: nn.Module) -> None:
        """Project the weights; this rounds, so a step that was dropped must not be followed."""
        center_residual(model)


def center_residual(model: nn.Module) -> None:
    """Give every encoder inside a model that keeps a mean of zero that mean, and its LoRA adapters too, in place.

    An adapter of an output matrix or of the embeddings is projected by itself, so that merging it keeps the property.
    """
    for encoder in zero_mean_encoders(model):
        encoder.center_residual()
        _center_adapters(encoder)


def zero_mean_encoders(model: nn.Module) -> Iterator[Any]:
    """Yield the encoders inside a model that keep a mean of zero: of the installed class and of remote code alike."""
    for module in model.modules():
        config: Any = getattr(module, "config", None)
        if getattr(config, "zero_mean_residual", False) and hasattr(module, "center_residual"):
            if module.base_model is module:
                yield module


@torch.no_grad()
def _center_adapters(encoder: Any) -> None:
    """Give what LoRA adapters add to a writer of the residual stream mean zero over the width."""
    adapted = [getattr(encoder.embeddings.tok_embeddings, "lora_embedding_B", {})]
    for layer in encoder.layers:
        adapted += [getattr(output, "lora_B", {}) for output in (layer.attn.Wo, layer.mlp.Wo)]
    for adapters in adapted:
        for adapter in adapters.values():
            weight = getattr(adapter, "weight", adapter)  # of a linear layer; of embeddings it is the tensor itself
            weight.sub_(weight.float().mean(dim=0, keepdim=True))

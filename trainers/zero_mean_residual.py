"""Keeps the residual stream of a model at mean zero while it trains, so that its release is a native ModernBERT too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class ZeroMeanResidualCallback(TrainerCallback):
    """Project the weights after each step of the optimizer, where the model's `config.zero_mean_residual` asks for it.

    Works in any Trainer, with any optimizer (fused ones too), under DDP, FSDP2, gradient accumulation and gradient
    clipping: whatever the step was, the projection follows it. Models that do not ask for it are left alone.

    Attributes:
        skips_next: the step at hand changes no weight, so the projection, which rounds, must not either; a trainer that
            drops a step sets it
    """

    def __init__(self) -> None:
        self.skips_next = False

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Project every encoder inside the model."""
        if not self.skips_next:
            center_residual(kwargs["model"])
        self.skips_next = False


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

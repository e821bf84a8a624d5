"""Keeps the residual stream of a model at mean zero while it trains, so that its release is a native ModernBERT too."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class ZeroMeanResidualCallback(TrainerCallback):
    """Project the weights after each step of the optimizer, where the model's `config.zero_mean_residual` asks for it.

    Works in any Trainer, with any optimizer (fused ones too), under DDP, FSDP2, gradient accumulation and gradient
    clipping: whatever the step was, the projection follows it. An adapter (LoRA) of an output matrix is projected too,
    so that merging it keeps the property.
    """

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Project every encoder inside the model."""
        for encoder in zero_mean_encoders(kwargs["model"]):
            encoder.center_residual()
            center_adapters(encoder)


def zero_mean_encoders(model: nn.Module) -> Iterator[Any]:
    """Yield the encoders inside a model that keep a mean of zero: of the installed class and of remote code alike."""
    for module in model.modules():
        config: Any = getattr(module, "config", None)
        is_encoder = hasattr(module, "center_residual") and module.base_model is module
        if is_encoder and config.zero_mean_residual:
            yield module


@torch.no_grad()
def center_adapters(encoder: Any) -> None:
    """Give what LoRA adapters add to an output matrix mean zero over the width."""
    for layer in encoder.layers:
        for output in (layer.attn.Wo, layer.mlp.Wo):
            for adapter in getattr(output, "lora_B", {}).values():
                adapter.weight.sub_(adapter.weight.float().mean(dim=0, keepdim=True))

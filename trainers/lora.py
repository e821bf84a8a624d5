"""Low-rank adapters (LoRA, arXiv 2106.09685) on any encoder: put on for training, merged into the weights after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..runtime.lazy import optional_import

if TYPE_CHECKING:  # torch is imported when it is used: the default below is read by the options of two commands
    from torch import nn
    from transformers import PreTrainedModel

DEFAULT_LORA_ALPHA = 32
"""Scale of an adapter's product, before it is divided by the rank. Source: our default, twice a rank of 16."""


def refuse_idle_alpha(rank: int, alpha: int) -> None:
    """Raise a ValueError for a scale without an adapter."""
    if not rank and alpha != DEFAULT_LORA_ALPHA:
        raise ValueError(f"lora_alpha={alpha} is not read without an adapter; give --lora_rank too")


def add_lora(encoder: PreTrainedModel, rank: int, alpha: int) -> None:
    """Freeze an encoder and put LoRA on each of its linear layers (of ours: `Wqkv`, `Wo` and `Wi`), in place.

    Args:
        encoder: encoder without a head; a head around it stays trainable as a whole
        rank: rank of the product
        alpha: scale of the product, which is multiplied by `alpha / rank`

    Raises:
        ImportError: If peft is missing.
    """
    from torch import nn

    with optional_import("lora_rank"):
        from peft import LoraConfig, inject_adapter_in_model
    linear = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=linear), encoder)


def merge_lora(model: nn.Module) -> None:
    """Add LoRA's product to the weights and put the plain linear layers back, in place."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent = model.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], module.get_base_layer())

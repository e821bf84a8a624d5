"""A stand-in for vLLM's Transformers backend, after what its version 0.33 does around the attention of an encoder.

One attention object a layer, hung onto the module that calls it; a flat row of all sequences with positions that
restart; windows as `(w - 1, w - 1)`; everything a keyword argument. The products are done by the definition.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NAME = "vllm"


class EncoderAttention(nn.Module):
    """What the runtime computes for one layer: it knows the sequences of the batch by itself."""

    def __init__(self, backend: VllmBackend, heads: int, scale: float, window: int | None) -> None:
        super().__init__()
        self.heads, self.scale = heads, scale
        self.reach = None if window is None else window - 1
        self._backend = [backend]  # in a list, so that it is no part of the module

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Map `(tokens, heads * head size)` to the same shape."""
        sequences = self._backend[0].sequences
        query, key, value = (part.unflatten(1, (self.heads, -1)).transpose(0, 1) for part in (query, key, value))
        scores = query @ key.transpose(1, 2) * self.scale
        seen = sequences[:, None] == sequences[None]
        if self.reach is not None:
            places = torch.arange(len(sequences))
            seen &= (places[:, None] - places[None]).abs() <= self.reach
        scores = scores.masked_fill(~seen, -torch.inf)
        return (scores.softmax(-1) @ value).transpose(0, 1).flatten(1)


def attention_of_the_runtime(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """What is registered under the runtime's name; takes `(1, heads, tokens, size)`, gives `(tokens, width)`."""
    tokens = query.shape[-2]
    flat = [part.transpose(1, 2).reshape(tokens, -1) for part in (query, key, value)]
    instance = kwargs["attention_instances"][module.layer_idx]  # as versions before 0.30 find it
    assert instance is module.attn, "later versions read it off the module"
    return instance(*flat), None


class VllmBackend:
    """Runs an encoder as the runtime does.

    Args:
        model: encoder, in evaluation mode; its attention implementation is changed
        window: in place of the window that the configuration names
    """

    def __init__(self, model: Any, window: int | None = None) -> None:
        ALL_ATTENTION_FUNCTIONS.register(NAME, attention_of_the_runtime)
        config = model.config
        config._attn_implementation = NAME
        self.model, self.instances = model, {}
        self.sequences = torch.empty(0)
        modules = {module.layer_idx: module for module in model.modules() if hasattr(module, "layer_idx")}
        assert not any(getattr(module, "is_causal", True) for module in modules.values()), "taken for a decoder"
        for index, kind in enumerate(config.layer_types):
            local = (config.sliding_window if window is None else window) if kind == "sliding_attention" else None
            instance = EncoderAttention(self, config.num_attention_heads, modules[index].scaling, local)
            self.instances[index] = instance
            modules[index].attn = instance

    def __call__(self, input_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Return hidden states `(tokens, hidden)` of sequences one after another, told apart by their positions."""
        self.sequences = (positions == 0).cumsum(0)
        outputs = self.model(
            input_ids=input_ids[None],
            inputs_embeds=None,
            use_cache=False,
            position_ids=positions[None],
            attention_instances=self.instances,
            return_dict=False,
        )
        return outputs[0][0]

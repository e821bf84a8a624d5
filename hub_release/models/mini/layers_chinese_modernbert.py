# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""The parts of the encoder, read from top to bottom: norms, embeddings, feed-forward, attention, layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_chinese_modernbert import SLIDING_ATTENTION, ChineseModernBertConfig
from .kernels_chinese_modernbert import OWN_KERNELS, attend, foreign_arguments
from .layout_chinese_modernbert import TokenLayout, is_recording
from .products_chinese_modernbert import linear
from .rotary_chinese_modernbert import RotaryTable, apply_rotary


class ChineseModernBertRMSNorm(nn.RMSNorm):
    """torch's norm, written out in a trace: the older ONNX exporter, which Optimum uses, knows none."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(..., hidden)` to the same shape."""
        if not torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
            return super().forward(x)
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = torch.rsqrt(exact.square().mean(dim=-1, keepdim=True) + (self.eps or 0.0))
        return (exact * scale * self.weight).to(x.dtype)


def build_norm(config: ChineseModernBertConfig, after_activation: bool = False) -> nn.Module:
    """Return the norm that `config.norm_type` names; both kinds have the same parameter, `weight`.

    Args:
        config: configuration of the model
        after_activation: the input comes from an activation, so it has a mean even where `config.zero_mean_residual`
            holds, which makes it a LayerNorm
    """
    if config.norm_type == "rmsnorm" and not (after_activation and config.zero_mean_residual):
        return ChineseModernBertRMSNorm(config.hidden_size, eps=config.norm_eps)
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)


def marked(linear: nn.Linear, kind: str) -> nn.Linear:
    """Note on a matrix how it is initialised.

    Kinds: `input` (the default of an unmarked one) has deviation `initializer_range`; `output` is smaller by
    sqrt(2 * layers); `residual`, the end of a residual branch, is an output that may have to have mean zero;
    `classifier` has `hidden_size ** -0.5`; `tied` is another matrix's storage and is left alone. Source: ModernBERT
    ("full megatron" initialisation).
    """
    setattr(linear, "initialization", kind)  # noqa: B010, nn.Module types no attributes of its own
    return linear


class ChineseModernBertEmbeddings(nn.Module):
    """Token embeddings and their norm; positions enter later, by rotation."""

    def __init__(self, config: ChineseModernBertConfig) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.norm = build_norm(config)
        self.drop = nn.Dropout(config.embedding_dropout)

    def forward(self, input_ids: torch.Tensor | None = None, inputs_embeds: torch.Tensor | None = None) -> torch.Tensor:
        """Return hidden states `(rows, tokens, hidden)` from ids `(rows, tokens)` or from ready embeddings."""
        embedded = self.tok_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        return self.drop(self.norm(embedded))


class ChineseModernBertMLP(nn.Module):
    """GeGLU feed-forward; the gate and the value come from one product, `Wi`."""

    def __init__(self, config: ChineseModernBertConfig) -> None:
        super().__init__()
        self.Wi = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=config.mlp_bias)
        self.act = ACT2FN[config.hidden_activation]
        self.drop = nn.Dropout(config.mlp_dropout)
        self.Wo = marked(nn.Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias), "residual")

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map `(rows, tokens, hidden)` to the same shape."""
        gate, value = linear(self.Wi, hidden_states).chunk(2, dim=-1)
        return linear(self.Wo, self.drop(self.act(gate) * value))


class ChineseModernBertAttention(nn.Module):
    """Multi-head attention with rotary positions, global or local; the kernel is chosen by name in `attend`.

    Its three steps are called by the layer one by one: `project`, the kernel (`forward`), `output`.
    """

    def __init__(self, config: ChineseModernBertConfig, layer_index: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_index
        self.head_dim = config.head_dim
        self.scaling = config.head_dim**-0.5
        self.is_causal = False
        self.layer_type = config.layer_types[layer_index]
        self.Wqkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.attention_bias)
        self.Wo = marked(nn.Linear(config.hidden_size, config.hidden_size, bias=config.attention_bias), "residual")
        self.out_drop = nn.Dropout(config.attention_dropout)

    def project(self, hidden_states: torch.Tensor, rotary: RotaryTable) -> tuple[torch.Tensor, ...]:
        """Return rotated queries, rotated keys and values, each `(rows, heads, tokens, head_dim)`."""
        states = linear(self.Wqkv, hidden_states).unflatten(-1, (3, -1, self.head_dim))
        # Split once: the gradient of each slice would fill one of the whole.
        turned, value = states.split((2, 1), dim=2)
        query, key = apply_rotary(turned, rotary).unbind(dim=2)
        return query.transpose(1, 2), key.transpose(1, 2), value.squeeze(2).transpose(1, 2)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        layout: TokenLayout,
        implementation: str,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return attended values `(rows, tokens, hidden)` and, from `eager` alone, weights `(rows, heads, t, t)`.

        A kernel that is not ours gets `kwargs` as they came to the model: a runtime hands its own things down so.
        """
        # The window is read at every call, so that a changed configuration is obeyed by layers that exist already.
        window = self.config.window if self.layer_type == SLIDING_ATTENTION else None
        dropout = self.config.attention_dropout if self.training else 0.0
        if layout.is_empty:  # a batch of nothing but padding, which most kernels do not take
            attended, weights = value.transpose(1, 2), None
        elif implementation in OWN_KERNELS:
            attended, weights = attend(implementation, self, query, key, value, layout, window, dropout)
        else:
            is_deterministic = self.config.deterministic_flash_attn
            mask, given = foreign_arguments(implementation, layout, window, is_deterministic, query.dtype)
            given = {**kwargs, **given}
            # vLLM looks for this lookup, and for one call of it with this `scaling`, in the text of this method.
            kernel = ALL_ATTENTION_FUNCTIONS[implementation]
            attended, weights = kernel(self, query, key, value, mask, dropout=dropout, scaling=self.scaling, **given)
        rows, heads, tokens, size = query.shape
        return attended.reshape(rows, tokens, heads * size), weights

    def output(self, attended: torch.Tensor) -> torch.Tensor:
        """Map attended values `(rows, tokens, hidden)` to what is added to the stream, of the same shape."""
        return self.out_drop(linear(self.Wo, attended))


class ChineseModernBertLayer(GradientCheckpointingLayer):
    """Pre-norm block; the first one has no attention norm, since the embeddings end in one.

    What comes before and after the attention kernel are methods of their own, which `compile_layers` compiles.
    """

    def __init__(self, config: ChineseModernBertConfig, layer_index: int) -> None:
        super().__init__()
        self.attn_norm = nn.Identity() if layer_index == 0 else build_norm(config)
        self.attn = ChineseModernBertAttention(config, layer_index)
        self.mlp_norm = build_norm(config)
        self.mlp = ChineseModernBertMLP(config)
        self.attention_type = config.layer_types[layer_index]
        self.is_compiled = False

    def before_attention(self, hidden_states: torch.Tensor, rotary: RotaryTable) -> tuple[torch.Tensor, ...]:
        """Return queries, keys and values of hidden states `(rows, tokens, hidden)`, see `project`."""
        return self.attn.project(self.attn_norm(hidden_states), rotary)

    def after_attention(self, hidden_states: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
        """Return the layer's hidden states from those that it got and the output of the attention."""
        hidden_states = hidden_states + added
        return hidden_states + self.mlp(self.mlp_norm(hidden_states))

    def forward(
        self,
        hidden_states: torch.Tensor,
        layout: TokenLayout,
        rotary: RotaryTable,
        implementation: str,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return hidden states `(rows, tokens, hidden)` and the attention weights, if the kernel gives them."""
        # In a graph that takes in the whole model there is nothing to compile apart.
        apart = self.is_compiled and not is_recording()
        before = _compiled("before_attention") if apart else ChineseModernBertLayer.before_attention
        after = _compiled("after_attention") if apart else ChineseModernBertLayer.after_attention
        query, key, value = before(self, hidden_states, rotary)
        attended, weights = self.attn(query, key, value, layout, implementation, **kwargs)
        # Not in the graph: each way of attending gives views of another kind, and each kind would be a graph.
        return after(self, hidden_states, self.attn.output(attended)), weights


@lru_cache(maxsize=4)
def _compiled(method: str) -> Callable[..., Any]:
    """Return a method of the layer compiled; a function of the layer, so that a copied model runs its own weights."""
    return torch.compile(getattr(ChineseModernBertLayer, method))

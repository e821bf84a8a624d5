# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""The Chinese ModernBERT encoder: what every model of the family shares, and the encoder without a head."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_chinese_modernbert import ChineseModernBertConfig
from .kernels_chinese_modernbert import OWN_KERNELS, check_arguments, check_kernel, takes_flat_rows
from .layers_chinese_modernbert import ChineseModernBertEmbeddings, ChineseModernBertLayer, build_norm
from .layout_chinese_modernbert import TokenLayout, build_layout, check_keys, is_recording
from .products_chinese_modernbert import linear  # noqa: F401
from .residual_chinese_modernbert import center_residual, residual_mean, subtract_mean
from .rotary_chinese_modernbert import rotary_table

if TYPE_CHECKING:  # never run, but read: see the configuration
    from .bands_chinese_modernbert import banded_attention  # noqa: F401
    from .blanks_chinese_modernbert import BlankReader  # noqa: F401
    from .buckets_chinese_modernbert import bucketed_attention  # noqa: F401
    from .characters_chinese_modernbert import CharacterReader  # noqa: F401
    from .cpu_kernels_chinese_modernbert import dense_attention  # noqa: F401
    from .filling_chinese_modernbert import WordFiller  # noqa: F401
    from .heads_chinese_modernbert import ChineseModernBertForMaskedLM  # noqa: F401
    from .losses_chinese_modernbert import mean_loss  # noqa: F401
    from .rows_chinese_modernbert import logits_at  # noqa: F401
    from .spelling_chinese_modernbert import SpellingSettings  # noqa: F401


class ChineseModernBertPreTrainedModel(PreTrainedModel):
    """Loading, initialisation and the choice of kernels, shared by the encoder and every head."""

    config_class = ChineseModernBertConfig
    config: ChineseModernBertConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    # Also the units that FSDP shards by. The embeddings are none: their matrix is the decoder's, and a unit of its own
    # would part the two.
    _no_split_modules = ["ChineseModernBertLayer"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flash_attn_2 = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        """Answer Transformers, which otherwise searches the source text for its own idiom."""
        return True

    def set_attn_implementation(self, attn_implementation: str | dict[str, str], *args: Any, **kwargs: Any) -> None:
        """Change the kernel as Transformers does; raises as `check_kernel` does where it cannot run."""
        before = self.config._attn_implementation or "sdpa"
        super().set_attn_implementation(attn_implementation, *args, **kwargs)
        try:  # afterwards, since Transformers registers a kernel of the Hub when it is asked for
            check_kernel(self.config._attn_implementation, self.config.attention_dropout)
        except (ImportError, ValueError):
            super().set_attn_implementation(before)
            raise

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise one matrix or norm.

        Transformers 5 passes over any module of custom code that owns no parameter itself, so that a rule for a whole
        attention or feed-forward module would never run: each matrix carries its own kind instead. `torch.nn.init`
        leaves already loaded tensors alone while Transformers initialises what a checkpoint lacks.
        """
        if isinstance(module, (nn.Linear, nn.Embedding)):
            self._init_matrix(module, getattr(module, "initialization", "input"))
        elif isinstance(module, (nn.RMSNorm, nn.LayerNorm)):
            nn.init.ones_(module.weight)
        if isinstance(module, (nn.Linear, nn.LayerNorm)) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def _init_matrix(self, module: nn.Linear | nn.Embedding, kind: str) -> None:
        """Draw a weight matrix of a kind (see `marked`), cut at `initializer_cutoff_factor` deviations."""
        if kind == "tied":
            return
        std = self.config.initializer_range
        if kind in ("output", "residual"):
            std /= math.sqrt(2.0 * self.config.num_hidden_layers)
        elif kind == "classifier":
            std = self.config.hidden_size**-0.5
        cut = self.config.initializer_cutoff_factor * std
        is_loaded = getattr(module.weight, "_is_hf_initialized", False)
        nn.init.trunc_normal_(module.weight, mean=0.0, std=std, a=-cut, b=cut)
        if (
            self.config.zero_mean_residual
            and not is_loaded
            and (kind == "residual" or isinstance(module, nn.Embedding))
        ):
            subtract_mean(module.weight, dim=0 if kind == "residual" else 1)

    def compile_layers(self, compiled: bool = True) -> None:
        """Compile what a layer does before and after its attention kernel, which stays as it is; False undoes it.

        Padding is still dropped, and one graph serves all layers and any number of documents. The first forward at a
        number of tokens takes seconds; one at a second number makes a graph for all others. On a CPU it needs a C++
        compiler. `torch.compile(model)` is something else: one graph of padded rows.
        """
        encoder: Any = self.base_model
        for layer in encoder.layers:
            layer.is_compiled = compiled

    def center_residual(self) -> None:
        """Give the weights what `config.zero_mean_residual` says; a trainer does this after each step of the optimizer.

        It changes the numbers of a model that did not have it.
        """
        center_residual(self.base_model)

    def residual_mean(self) -> float:
        """Return how far the weights are from `config.zero_mean_residual`; see the function of this name."""
        return residual_mean(self.base_model)


class ChineseModernBertModel(ChineseModernBertPreTrainedModel):
    """The encoder without a head.

    Every layout gives the same numbers: a single text, a padded batch with `attention_mask`, rows that hold several
    documents (`document_ids`, or `position_ids` that restart), or one flat row with `cu_seq_lens_q`.
    """

    # A checkpoint of a task loads into the encoder without a warning about its head.
    _keys_to_ignore_on_load_unexpected = [r"^head\.", r"^decoder\.", r"^classifier\.", r"^detector\."]

    def __init__(self, config: ChineseModernBertConfig) -> None:
        super().__init__(config)
        check_kernel(self.config._attn_implementation, config.attention_dropout)
        self.embeddings = ChineseModernBertEmbeddings(config)
        self.layers = nn.ModuleList(ChineseModernBertLayer(config, index) for index in range(config.num_hidden_layers))
        self.final_norm = build_norm(config)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the token embedding, `(vocab_size, hidden)`."""
        return self.embeddings.tok_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.embeddings.tok_embeddings = value  # pyright: ignore[reportAttributeAccessIssue]

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        document_ids: torch.Tensor | None = None,
        cu_seq_lens_q: torch.Tensor | None = None,
        max_length_q: int | None = None,
        output_hidden_states: bool | int | Sequence[int] | None = None,
        output_attentions: bool | None = None,
        seq_idx: torch.Tensor | None = None,
        cu_seq_lens_k: torch.Tensor | None = None,
        max_length_k: int | None = None,
        is_causal: bool = False,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """Encode a batch.

        Args:
            input_ids (`torch.Tensor` of shape `(batch, length)`): token ids; or give `inputs_embeds`.
            attention_mask (`torch.Tensor` of shape `(batch, length)`): 1 = token, 0 = padding.
            position_ids (`torch.Tensor` of shape `(batch, length)` or `(1, length)`): rotary positions; where one is
                not its left neighbour's plus one, a new document begins, unless another argument tells documents.
            inputs_embeds (`torch.Tensor` of shape `(batch, length, hidden)`): embeddings before the first norm.
            document_ids (`torch.Tensor` of shape `(batch, length)`): packed rows: equal neighbours are one document,
                negative is padding; positions restart by themselves.
            cu_seq_lens_q (`torch.Tensor` of shape `(documents + 1,)`): boundaries of one flat row.
            max_length_q: no document of that row is longer, in tokens; on a GPU no value is then read on the host
            output_hidden_states: also return the input of every layer and the final output; given indices among
                those (negative ones count from the end), only these, and `None` in place of the others
            output_attentions: also return attention weights; this forward then runs the eager kernel, whichever is
                set, since no fused one has weights to return
            seq_idx: the name that Transformers' collator of flat rows has for `document_ids`
            cu_seq_lens_k, max_length_k: the same as of the queries, since every token is both
            is_causal: let a token see none after it: global layers see what is before it in its document, local ones
                the left half of their window
            kwargs: what a runtime wants its own attention function to get; nothing else reads it

        Returns:
            `BaseModelOutput` with `last_hidden_state` of shape `(batch, length, hidden)`, zero at padding.

        Raises:
            ValueError: Unless exactly one of `input_ids` and `inputs_embeds` is given, for descriptions of documents
                that do not fit together, or where a graph is recorded of a kernel that is not ours with padding or
                packed rows, which it could not be told; for `is_causal` and a kernel of a runtime.
            TypeError: For an argument that nothing would read.
        """
        given = _one_of("input_ids", input_ids, "inputs_embeds", inputs_embeds)
        dimensions = 2 if inputs_embeds is None else 3
        if given is None or given.dim() != dimensions:
            raise ValueError(
                "give exactly one of input_ids, (batch, length), and inputs_embeds, (batch, length, hidden), not "
                f"{None if given is None else tuple(given.shape)}"
            )
        check_keys(cu_seq_lens_q, cu_seq_lens_k, max_length_q, max_length_k)
        keep_states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        keep_weights = self.config.output_attentions if output_attentions is None else output_attentions
        implementation = "eager" if keep_weights else self.config._attn_implementation or "sdpa"
        check_arguments(implementation, kwargs)
        layout = self._layout(
            given,
            implementation,
            is_causal,
            attention_mask=attention_mask,
            document_ids=_one_of("document_ids", document_ids, "seq_idx", seq_idx),
            position_ids=position_ids,
            cu_seq_lens=cu_seq_lens_q,
            longest=max_length_q,
        )
        hidden_states = self.embeddings(
            input_ids=None if input_ids is None else layout.flatten(input_ids),
            inputs_embeds=None if inputs_embeds is None else layout.flatten(inputs_embeds),
        )
        kept = _kept_states(keep_states, len(self.layers) + 1)
        return self._encode(hidden_states, layout, implementation, kept, bool(keep_weights), kwargs)

    def _layout(self, given: torch.Tensor, implementation: str, is_causal: bool, **described: Any) -> TokenLayout:
        """Return the layout of a batch in the form that a kernel takes, see `build_layout`."""
        is_flat = takes_flat_rows(implementation)
        told = [value for name, value in described.items() if name != "position_ids" and value is not None]
        if told and is_flat and implementation not in OWN_KERNELS and is_recording():
            raise ValueError(
                f"{implementation} cannot be told of padding or packed rows while a graph is recorded; "
                "use attn_implementation='sdpa', or give single texts without attention_mask"
            )
        # Padding is dropped, but not while a graph is recorded, where sizes must be known.
        flat = is_flat and not is_recording()
        shape = given.shape[0], given.shape[1]
        return build_layout(shape, given.device, flat=flat, is_causal=is_causal, **described)

    def _encode(
        self,
        hidden_states: torch.Tensor,
        layout: TokenLayout,
        implementation: str,
        keep_states: frozenset[int] | None,
        keep_weights: bool,
        kernel_arguments: dict[str, Any],
    ) -> BaseModelOutput:
        """Run the layers on hidden states that are already in the form of `layout`."""
        rotary = {
            layer_type: rotary_table(
                layout.position_ids,
                self.config.head_dim,
                parameters,
                # Exact where it is read: the padding of a batch must not change its numbers.
                layout.longest_document if parameters["rope_type"] == "dynamic" else layout.longest,
                self.config.max_position_embeddings,
            )
            for layer_type, parameters in self.config.rope_parameters.items()
            if layer_type in self.config.layer_types
        }
        states: list[torch.Tensor | None] = []
        weights: list[torch.Tensor] = []
        for index, layer in enumerate(self.layers):
            if keep_states is not None:
                shown = layout.unflatten(hidden_states) if index in keep_states else None
                states.append(shown)
                if shown is not None and not layout.is_flat:
                    hidden_states = shown  # the next layer reads what is shown, so that its gradient can be asked for
            hidden_states, layer_weights = layer(
                hidden_states, layout, rotary[str(layer.attention_type)], implementation, **kernel_arguments
            )
            if keep_weights:
                weights.append(layer_weights)
        last = layout.unflatten(self.final_norm(hidden_states))
        if keep_states is not None:
            states.append(last if len(self.layers) in keep_states else None)
        return BaseModelOutput(
            last_hidden_state=last,
            # Its type knows no gaps, which Transformers' own models leave too.
            hidden_states=None if keep_states is None else tuple(states),  # pyright: ignore[reportArgumentType]
            attentions=tuple(weights) if keep_weights else None,
        )


def takes_encoder_inputs(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Give a head's `forward` the arguments of the encoder after its own; it gets them in its `kwargs`.

    They are then in its signature: `Trainer` drops every column of a data set that is not, and packed rows would see
    each other without a word.
    """
    own = inspect.signature(forward).parameters
    *named, rest = own.values()
    encoder = inspect.signature(ChineseModernBertModel.forward).parameters
    taken = [parameter for name, parameter in encoder.items() if name not in own]

    @wraps(forward)
    def forward_with_encoder_inputs(*args: Any, **kwargs: Any) -> Any:
        further = zip((parameter.name for parameter in taken), args[len(named) :], strict=False)
        return forward(*args[: len(named)], **dict(further), **kwargs)

    setattr(forward_with_encoder_inputs, "__signature__", inspect.Signature([*named, *taken, rest]))  # noqa: B010
    return forward_with_encoder_inputs


def _one_of(name: str, value: torch.Tensor | None, other: str, other_value: torch.Tensor | None) -> torch.Tensor | None:
    """Return the one that is given of two arguments for the same thing; None where neither is."""
    if value is not None and other_value is not None:
        raise ValueError(f"{name} and {other} came both; give exactly one of them")
    return other_value if value is None else value


def _kept_states(requested: bool | int | Sequence[int] | None, count: int) -> frozenset[int] | None:
    """Return which of `count` hidden states are requested, `None` = none; indices out of range select nothing.

    Source: `output_hidden_states` in Transformers 5.
    """
    if requested is None or requested is False:
        return None
    if requested is True:
        return frozenset(range(count))
    indices = [requested] if isinstance(requested, int) else requested
    return frozenset(index % count for index in indices if -count <= index < count)

# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Attention kernels: the same numbers by different roads, all reached through `attend`.

Shapes: b rows, h heads, t tokens, d head size. Queries, keys and values are `(b, h, t, d)`; results `(b, t, h, d)`.
`window` is the largest distance that a local layer sees (`|i - j| <= window`), or `None` for a global layer. In any
layer of a causal layout a query sees no key after it.

- `eager` computes the whole matrix and can return it; it is the reference of the others.
- `sdpa`, the default, uses torch alone. On a flat row every document is computed by itself, short ones by one call of
  `scaled_dot_product_attention`, longer ones in bands of a local layer, so that cost grows with length x window.
  In half precision on CUDA the whole flat row is one call of `varlen_attn`, where torch has it.
- `varlen_attn` (torch, CUDA) takes the flat row as it is.
- `flex_attention` gets a block mask made from the document ids.

Any other name is a function that Transformers, a runtime such as vLLM or the user has registered
(`flash_attention_2`, `vllm`): the attention module calls it, with `foreign_arguments`. What it wants to be told of
padding and windows is read from the mask function that is registered under the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any, cast

import torch
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .bands_chinese_modernbert import BANDED_FROM_TOKENS, banded_attention
from .buckets_chinese_modernbert import attend_documents, bucketed_attention, build_buckets
from .cpu_kernels_chinese_modernbert import dense_attention, prefers_products
from .layout_chinese_modernbert import TokenLayout, in_reach, is_exporting

try:  # torch >= 2.10, and windows later still; the kernel itself needs CUDA
    from torch.nn.attention.varlen import varlen_attn

    if "window_size" not in varlen_attn.__annotations__:
        varlen_attn = None
except ImportError:
    varlen_attn = None

# Transformers accepts only names that it knows; `attend` calls the kernel itself.
ALL_ATTENTION_FUNCTIONS.register("varlen_attn", varlen_attn)  # pyright: ignore[reportArgumentType]
OWN_KERNELS = ("eager", "sdpa", "flex_attention", "varlen_attn")
# Runtimes that register a function and no mask: they know the texts of a flat row by what they hand down with the call.
RUNTIMES = ("vllm", "sglang")
FLAT_KERNELS = ("sdpa", "flex_attention", "varlen_attn", *RUNTIMES)
# Whose mask function a kernel that is not ours may share: what tells it documents and window.
FLASH, BOOLEAN, ADDED = "flash_attention_2", "sdpa", "eager"
# Kernels that would pass over dropout on attention weights without a word.
WITHOUT_DROPOUT = ("flex_attention", "varlen_attn")

# First generation of GPUs (Ampere) on which the kernel behind `varlen_attn` runs. Source: torch.
VARLEN_FROM_CAPABILITY = (8, 0)

# Calls, one for each run of documents of one length, that a bucket must replace to be worth its padding and gathers.
# Our choice: buckets slow down texts of one length, and speed up packed rows.
CALLS_FOR_ONE = 2


def check_kernel(implementation: str | None, attention_dropout: float) -> None:
    """Say when a model is built what its kernel could not do at the first step.

    Args:
        implementation: name of the kernel; `None` = not chosen yet
        attention_dropout: the configuration's probability of dropping an attention weight

    Raises:
        ImportError: Where `varlen_attn` lacks CUDA or a torch that has it with windows.
        ValueError: Where the kernel has no dropout and the configuration asks for it, or is not ours and says by no
            mask function what mask it expects.
    """
    if implementation == "varlen_attn" and (varlen_attn is None or not torch.cuda.is_available()):
        raise ImportError(
            f"varlen_attn needs CUDA and a torch whose varlen_attn knows windows; this is torch {torch.__version__}, "
            f"CUDA {'found' if torch.cuda.is_available() else 'not found'}; use attn_implementation='sdpa'"
        )
    if implementation in WITHOUT_DROPOUT and attention_dropout:
        raise ValueError(
            f"{implementation} cannot drop attention weights and attention_dropout={attention_dropout}; "
            "set it to 0.0 or use attn_implementation='sdpa'"
        )
    if implementation not in (None, *OWN_KERNELS):
        takes_flat_rows(implementation)


def takes_flat_rows(implementation: str) -> bool:
    """Tell whether a kernel takes real tokens as one row, and no mask.

    Raises:
        ValueError: For a kernel that is not ours and has no mask function of `eager`, `sdpa` or flash attention.
    """
    if implementation in FLAT_KERNELS:
        return True
    return implementation not in OWN_KERNELS and _expected_mask(implementation) == FLASH


def _expected_mask(implementation: str) -> str:
    """Return which of Transformers' mask functions is registered for a kernel: `FLASH`, `BOOLEAN` or `ADDED`."""
    if implementation in ALL_MASK_ATTENTION_FUNCTIONS:
        for known in (FLASH, BOOLEAN, ADDED):
            if ALL_MASK_ATTENTION_FUNCTIONS[implementation] is ALL_MASK_ATTENTION_FUNCTIONS[known]:
                return known
    raise ValueError(
        f"attn_implementation={implementation!r} does not say which mask it expects; call "
        f"AttentionMaskInterface.register({implementation!r}, sdpa_mask), or with eager_mask or flash_attention_mask"
    )


def check_arguments(implementation: str, arguments: Mapping[str, Any]) -> None:
    """Refuse keyword arguments of a forward that nothing reads.

    Args:
        implementation: name of the kernel; one that the user or a runtime has registered may read any
        arguments: what `forward` does not know by name; None and False say nothing and pass

    Raises:
        TypeError: If there are any.
    """
    unread = sorted(name for name, value in arguments.items() if value is not None and value is not False)
    if unread and (implementation in OWN_KERNELS or implementation.startswith("flash_attention")):
        raise TypeError(f"{', '.join(unread)}: this model has no such input; leave it out")


def attend(
    implementation: str,
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: TokenLayout,
    window: int | None,
    dropout: float,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Run the named kernel.

    Args:
        implementation: one of `OWN_KERNELS`
        module: the attention module, which Transformers' wrapper of flex attention reads
        query, key, value (`torch.Tensor` of shape `(b, h, t, d)`): rotated and unscaled.
        layout: documents of the batch
        window: largest distance seen, in tokens; `None` = the whole document
        dropout: probability of dropping an attention weight; 0.0 outside training

    Returns:
        The result of shape `(b, t, h, d)` and, from `eager` alone, the weights of shape `(b, h, t, t)`.
    """
    if window is not None and not is_exporting() and layout.longest <= window + 1:
        window = None  # nothing is further away than the window: the plain kernel gives the same numbers
    if implementation == "eager":
        return eager_attention(query, key, value, layout, window, dropout)
    if implementation == "sdpa":
        return sdpa_attention(query, key, value, layout, window, dropout), None
    if implementation == "varlen_attn":
        return varlen_attention(query, key, value, layout, window), None
    return flex_attention(module, query, key, value, layout, window), None


def visible(layout: TokenLayout, window: int | None) -> torch.Tensor:
    """Return the boolean mask `(b, 1, t, t)` of a dense layout: True where a query sees a key.

    A padded query sees the other padding of its row, so that no row of the softmax is empty. The window is measured
    over real tokens, as in a flat layout, where padding is gone.
    """
    cached = layout.masks.get(window)
    if cached is None:
        documents = layout.document_ids
        cached = (documents.unsqueeze(2) == documents.unsqueeze(1)).unsqueeze(1)
        if window is not None or layout.is_causal:
            places = layout.places
            distance = places.unsqueeze(2) - places.unsqueeze(1)
            cached = cached & in_reach(distance, window, layout.is_causal).unsqueeze(1)
        layout.masks[window] = cached
    return cached


def eager_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: TokenLayout,
    window: int | None,
    dropout: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the whole matrix, softmax in float32 or finer; returns the result and the weights `(b, h, t, t)`."""
    scores = torch.matmul(query, key.transpose(2, 3)) * query.shape[-1] ** -0.5
    scores = scores.masked_fill(~visible(layout, window), torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1, dtype=torch.promote_types(query.dtype, torch.float32)).to(query.dtype)
    weights = torch.nn.functional.dropout(weights, p=dropout, training=dropout > 0.0)
    return torch.matmul(weights, value).transpose(1, 2), weights


def sdpa_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: TokenLayout,
    window: int | None,
    dropout: float,
) -> torch.Tensor:
    """Use torch's own kernels; the road depends on layout, layer and length (see the module's docstring)."""
    if not layout.is_flat:
        if window is not None and not dropout and not is_exporting() and layout.longest >= BANDED_FROM_TOKENS:
            ids, is_causal = layout.document_ids, layout.is_causal
            return banded_attention(query, key, value, window, ids, is_causal).transpose(1, 2)
        mask = visible(layout, window)
        return dense_attention(query, key, value, mask, dropout).transpose(1, 2)
    if _prefers_varlen(query, dropout):
        return varlen_attention(query, key, value, layout, window)
    groups = [(length, len(list(same))) for length, same in groupby(layout.lengths)]
    if prefers_products(query) and len(groups) >= CALLS_FOR_ONE * len(build_buckets(layout).parts):
        return bucketed_attention(query, key, value, layout, window, dropout)
    sizes = [length * count for length, count in groups]
    # One split for all documents: cutting each out by itself would fill a gradient of the whole row for each.
    parts = zip(*(states[0].transpose(0, 1).split(sizes) for states in (query, key, value)), strict=True)
    results = []
    for (length, count), part in zip(groups, parts, strict=True):  # neighbours of one length are one call
        documents = [states.unflatten(0, (count, length)).transpose(1, 2) for states in part]
        result = attend_documents(*documents, layout=layout, window=window, dropout=dropout)
        results.append(result.transpose(1, 2).flatten(0, 1))
    return (results[0] if len(results) == 1 else torch.cat(results)).unsqueeze(0)


def _prefers_varlen(query: torch.Tensor, dropout: float) -> bool:
    """Tell whether torch's variable-length kernel can take a flat row: no launch of a kernel for each document."""
    return (
        varlen_attn is not None
        and query.device.type == "cuda"
        and query.dtype in (torch.bfloat16, torch.float16)
        and not dropout
        and torch.cuda.get_device_capability(query.device) >= VARLEN_FROM_CAPABILITY
    )


def varlen_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: TokenLayout, window: int | None
) -> torch.Tensor:
    """Use torch's variable-length kernel (CUDA, half precision) on a flat row."""
    kernel = cast(Callable[..., torch.Tensor], varlen_attn)  # checked when the model was built
    behind = -1 if window is None else window  # inclusive; -1 = no bound
    reach = (behind, 0 if layout.is_causal else behind)
    flat = [states[0].transpose(0, 1) for states in (query, key, value)]
    bounds, longest = layout.cu_seq_lens, layout.longest
    return kernel(*flat, bounds, bounds, longest, longest, window_size=reach).unsqueeze(0)


def flex_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: TokenLayout,
    window: int | None,
) -> torch.Tensor:
    """Use torch's flex attention through Transformers, with a block mask made from documents and window."""
    from torch.nn.attention.flex_attention import create_block_mask

    name = ("flex", window)
    if name not in layout.masks:
        documents, tokens = layout.document_ids, query.shape[2]

        def sees(row: torch.Tensor, head: torch.Tensor, asking: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
            same = documents[row, asking] == documents[row, asked]
            if window is None and not layout.is_causal:
                return same
            return same & in_reach(asking - asked, window, layout.is_causal)

        layout.masks[name] = create_block_mask(  # pyright: ignore[reportArgumentType]
            sees, B=query.shape[0], H=None, Q_LEN=tokens, KV_LEN=tokens, device=query.device
        )
    kernel = ALL_ATTENTION_FUNCTIONS["flex_attention"]
    return kernel(module, query, key, value, layout.masks[name], scaling=query.shape[-1] ** -0.5)[0]


def foreign_arguments(
    implementation: str, layout: TokenLayout, window: int | None, is_deterministic: bool, dtype: torch.dtype
) -> tuple[torch.Tensor | None, dict[str, Any]]:
    """Return the mask and the keyword arguments that say to a kernel which is not ours what the layout says.

    Args:
        implementation: name of the kernel
        layout: documents of the batch
        window: largest distance seen, in tokens; `None` = the whole document
        is_deterministic: ask flash attention for gradients that are equal in each run
        dtype: of the queries

    Raises:
        ValueError: For a causal layout and a runtime, which has a direction of its own.
    """
    if layout.is_causal and implementation in RUNTIMES:
        raise ValueError(f"{implementation} cannot be told is_causal=True; use attn_implementation='sdpa'")
    given: dict[str, Any] = {
        # Transformers hands flash attention (w - 1, w - 1), which is inclusive on both sides.
        "sliding_window": None if window is None else window + 1,
    }
    if is_deterministic:
        given["deterministic"] = True
    if not takes_flat_rows(implementation):
        return _dense_mask(implementation, layout, window, dtype), given
    if layout.is_causal:  # the kernel then passes over what the window has to the right
        given["is_causal"] = True
    if not layout.is_flat:  # a graph is being recorded: positions that restart are all that tells documents apart
        return None, {**given, "position_ids": layout.position_ids}
    bounds, longest = layout.cu_seq_lens, layout.longest
    given |= {"cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds, "max_length_q": longest, "max_length_k": longest}
    return None, given


def _dense_mask(implementation: str, layout: TokenLayout, window: int | None, dtype: torch.dtype) -> torch.Tensor:
    """Return the mask `(b, 1, t, t)` that a kernel expects: boolean, True where a query sees a key, or added."""
    seen = visible(layout, window)
    if _expected_mask(implementation) == BOOLEAN:
        return seen
    name = (ADDED, window, dtype)
    if name not in layout.masks:
        added = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        layout.masks[name] = added.masked_fill(~seen, torch.finfo(dtype).min)
    return layout.masks[name]

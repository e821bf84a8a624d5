# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Attention kernels: the same numbers by different roads, all reached through `attend`.

Shapes: b rows, h heads, t tokens, d head size. Queries, keys and values are `(b, h, t, d)`; results `(b, t, h, d)`.
`window` is the largest distance that a local layer sees (`|i - j| <= window`), or `None` for a global layer.

- `eager` computes the whole matrix and can return it; it is the reference of the others.
- `sdpa`, the default, uses torch alone. On a flat row every document is computed by itself, short ones by one call of
  `scaled_dot_product_attention`, longer ones in bands of a local layer, so that cost grows with length x window.
  In half precision on CUDA the whole flat row is one call of `varlen_attn`, where torch has it.
- `varlen_attn` (torch, CUDA) takes the flat row as it is.
- `flex_attention` gets a block mask made from the document ids.

Any other name is a function that Transformers, a runtime such as vLLM or the user has registered
(`flash_attention_2`, `vllm`): the attention module calls it, with `foreign_arguments`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any, cast

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .layout_chinese_modernbert import PADDING, TokenLayout, is_exporting

try:  # torch >= 2.10, and windows later still; the kernel itself needs CUDA
    from torch.nn.attention.varlen import varlen_attn

    if "window_size" not in varlen_attn.__annotations__:
        varlen_attn = None
except ImportError:
    varlen_attn = None

# Transformers accepts only names that it knows; `attend` calls the kernel itself.
ALL_ATTENTION_FUNCTIONS.register("varlen_attn", varlen_attn)  # pyright: ignore[reportArgumentType]
OWN_KERNELS = ("eager", "sdpa", "flex_attention", "varlen_attn")
# Kernels that would pass over dropout on attention weights without a word.
WITHOUT_DROPOUT = ("flex_attention", "varlen_attn")

# First generation of GPUs (Ampere) on which the kernel behind `varlen_attn` runs. Source: torch.
VARLEN_FROM_CAPABILITY = (8, 0)
# Block of queries of a banded layer. Source: our measurement on CPU, blocks of 64 to 512.
BAND_BLOCK_TOKENS = 128
# Under this length the whole matrix with a mask is as fast as bands. Source: our measurement on CPU.
BANDED_FROM_TOKENS = 768
# Over this length bands cut out as views beat the whole matrix. Source: our measurement on CPU, without gradients.
SLICED_FROM_TOKENS = 320
# The length from which explicit products in bfloat16 beat sdpa on CPU, and how many weights a chunk of queries may
# have so that they stay in the cache. Source: our measurement, with bfloat16 instructions.
CHUNKED_FROM_TOKENS = 512
CHUNK_WEIGHTS = 2**20
SMALLEST_CHUNK_TOKENS, LARGEST_CHUNK_TOKENS = 64, 256


def check_kernel(implementation: str | None, attention_dropout: float) -> None:
    """Say when a model is built what its kernel could not do at the first step.

    Args:
        implementation: name of the kernel; `None` = not chosen yet
        attention_dropout: the configuration's probability of dropping an attention weight

    Raises:
        ImportError: Where `varlen_attn` lacks CUDA or a torch that has it with windows.
        ValueError: Where the kernel has no dropout and the configuration asks for it.
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
        if window is not None:
            places = layout.places
            cached = cached & ((places.unsqueeze(2) - places.unsqueeze(1)).abs() <= window).unsqueeze(1)
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
            return banded_attention(query, key, value, window, layout.document_ids).transpose(1, 2)
        mask = visible(layout, window)
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout).transpose(1, 2)
    if _prefers_varlen(query, dropout):
        return varlen_attention(query, key, value, layout, window)
    groups = [(length, len(list(same))) for length, same in groupby(layout.lengths)]
    sizes = [length * count for length, count in groups]
    # One split for all documents: cutting each out by itself would fill a gradient of the whole row for each.
    parts = zip(*(states[0].transpose(0, 1).split(sizes) for states in (query, key, value)), strict=True)
    results = []
    for (length, count), part in zip(groups, parts, strict=True):  # neighbours of one length are one call
        documents = [states.unflatten(0, (count, length)).transpose(1, 2) for states in part]
        result = _whole_documents(*documents, layout=layout, window=window, dropout=dropout)
        results.append(result.transpose(1, 2).flatten(0, 1))
    if not results:
        return query.transpose(1, 2)
    return (results[0] if len(results) == 1 else torch.cat(results)).unsqueeze(0)


def _whole_documents(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: TokenLayout,
    window: int | None,
    dropout: float,
) -> torch.Tensor:
    """Attend within documents of one length, `(count, h, length, d)`, nothing padded."""
    length = query.shape[2]
    if window is None or length <= window + 1:
        if _prefers_chunks(query, dropout):
            return chunked_attention(query, key, value)
        return scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    if length >= SLICED_FROM_TOKENS and not dropout and query.device.type == "cpu" and not query.requires_grad:
        return sliced_attention(query, key, value, window, layout)
    if length >= BANDED_FROM_TOKENS and not dropout:
        return banded_attention(query, key, value, window)
    mask = _band_mask(layout, length, length, window, query)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)


def _band_mask(layout: TokenLayout, queries: int, keys: int, window: int, states: torch.Tensor) -> torch.Tensor:
    """Return the additive mask `(queries, keys)` of a window, 0 within it and minus infinity outside.

    Both begin at the same token, or the keys so much earlier as to be in the middle: a block with its reach.
    """
    name = ("band", queries, keys, window, states.dtype)
    cached = layout.masks.get(name)
    if cached is None:
        place = torch.arange(queries, device=states.device)
        offset = torch.arange(keys, device=states.device) - (keys - queries) // 2
        outside = (place.unsqueeze(1) - offset.unsqueeze(0)).abs() > window
        cached = torch.zeros(queries, keys, device=states.device, dtype=states.dtype).masked_fill(outside, -torch.inf)
        layout.masks[name] = cached
    return cached


def sliced_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int, layout: TokenLayout
) -> torch.Tensor:
    """Local attention of whole documents, one call for each block of queries and no copy of any key.

    Shapes and result as in `banded_attention`. Cheaper than that one where nothing keeps gradients; with gradients
    every block would fill one of the whole row.
    """
    tokens, block = query.shape[2], max(BAND_BLOCK_TOKENS, window)
    band = _band_mask(layout, block, block + 2 * window, window, query)
    results = []
    for start in range(0, tokens, block):
        end, first = min(start + block, tokens), max(start - window, 0)
        last = min(end + window, tokens)
        reach = slice(first - (start - window), last - (start - window))
        results.append(
            scaled_dot_product_attention(
                query[:, :, start:end],
                key[:, :, first:last],
                value[:, :, first:last],
                attn_mask=band[: end - start, reach],
            )
        )
    return torch.cat(results, dim=2)


def banded_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    window: int,
    document_ids: torch.Tensor | None = None,
) -> torch.Tensor:
    """Local attention in O(t x window): each block of queries meets the keys within its reach, nothing else.

    Args:
        query, key, value (`torch.Tensor` of shape `(b, h, t, d)`).
        window: largest distance seen, in tokens
        document_ids (`torch.Tensor` of shape `(b, t)`, *optional*): documents that must not see each other;
            without it each row is one document.

    Returns:
        `torch.Tensor` of shape `(b, h, t, d)`, equal to masked attention over the whole row.
    """
    tokens = query.shape[2]
    block = max(BAND_BLOCK_TOKENS, window)
    tail = -tokens % block
    queries = _blocks(pad(query, (0, 0, 0, tail)), block, block)
    keys, values = (
        _blocks(pad(states, (0, 0, window, tail + window)), block + 2 * window, block) for states in (key, value)
    )
    if document_ids is None:
        document_ids = torch.zeros(query.shape[0], tokens, dtype=torch.int64, device=query.device)
    mask = _block_mask(document_ids, block, window)
    result = scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    return result.unflatten(0, (query.shape[0], -1)).transpose(1, 2).flatten(2, 3)[:, :, :tokens]


def _blocks(states: torch.Tensor, span: int, step: int) -> torch.Tensor:
    """Cut `(b, h, t, d)` into blocks of `span` tokens every `step`: `(b * blocks, h, span, d)`, a view if b = 1."""
    return states.unfold(2, span, step).permute(0, 2, 1, 4, 3).flatten(0, 1)


def _block_mask(document_ids: torch.Tensor, block: int, window: int) -> torch.Tensor:
    """Return the boolean mask `(b * blocks, 1, block, block + 2 * window)` of banded attention."""
    place = torch.arange(block, device=document_ids.device)
    offset = torch.arange(block + 2 * window, device=document_ids.device) - window
    near = (place.unsqueeze(1) - offset.unsqueeze(0)).abs() <= window
    tail = -document_ids.shape[1] % block
    # Filler queries and keys get an id of their own: a filler query then sees filler, never an empty row.
    queries = pad(document_ids, (0, tail), value=PADDING - 1).unfold(1, block, block)
    keys = pad(document_ids, (window, tail + window), value=PADDING - 1).unfold(1, block + 2 * window, block)
    same = queries.flatten(0, 1).unsqueeze(2) == keys.flatten(0, 1).unsqueeze(1)
    return (near & same).unsqueeze(1)


def _prefers_varlen(query: torch.Tensor, dropout: float) -> bool:
    """Tell whether torch's variable-length kernel can take a flat row: no launch of a kernel for each document."""
    return (
        varlen_attn is not None
        and query.device.type == "cuda"
        and query.dtype in (torch.bfloat16, torch.float16)
        and not dropout
        and torch.cuda.get_device_capability(query.device) >= VARLEN_FROM_CAPABILITY
    )


def _prefers_chunks(query: torch.Tensor, dropout: float) -> bool:
    """Tell whether explicit products beat sdpa: long bfloat16 text on CPU, with no gradient to keep weights for."""
    return (
        query.device.type == "cpu"
        and query.dtype == torch.bfloat16
        and query.shape[2] >= CHUNKED_FROM_TOKENS
        and not dropout
        and not query.requires_grad
    )


def chunked_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Global attention head by head in chunks of queries, as plain products of matrices in bfloat16.

    Shapes as in `banded_attention`. torch's CPU kernel does its bfloat16 products less well than a plain matmul does.
    The softmax of bfloat16 keeps maximum and sum in float32; asking for float32 weights would triple the time.
    """
    result = torch.empty_like(query)
    tokens, scaled = query.shape[2], query * query.shape[-1] ** -0.5
    step = max(SMALLEST_CHUNK_TOKENS, min(CHUNK_WEIGHTS // tokens, LARGEST_CHUNK_TOKENS))
    for row in range(query.shape[0]):
        for head in range(query.shape[1]):
            keys, values = key[row, head].t(), value[row, head].contiguous()
            for start in range(0, tokens, step):
                weights = torch.softmax(torch.matmul(scaled[row, head, start : start + step], keys), dim=-1)
                result[row, head, start : start + step] = torch.matmul(weights, values)
    return result


def varlen_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: TokenLayout, window: int | None
) -> torch.Tensor:
    """Use torch's variable-length kernel (CUDA, half precision) on a flat row."""
    kernel = cast(Callable[..., torch.Tensor], varlen_attn)  # checked when the model was built
    reach = (-1, -1) if window is None else (window, window)
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

        def sees(row: torch.Tensor, head: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            same = documents[row, left] == documents[row, right]
            return same if window is None else same & ((left - right).abs() <= window)

        layout.masks[name] = create_block_mask(  # pyright: ignore[reportArgumentType]
            sees, B=query.shape[0], H=None, Q_LEN=tokens, KV_LEN=tokens, device=query.device
        )
    kernel = ALL_ATTENTION_FUNCTIONS["flex_attention"]
    return kernel(module, query, key, value, layout.masks[name], scaling=query.shape[-1] ** -0.5)[0]


def foreign_arguments(layout: TokenLayout, window: int | None, is_deterministic: bool) -> dict[str, Any]:
    """Return the keyword arguments that say to a kernel which is not ours what the layout says.

    Args:
        layout: documents of the batch
        window: largest distance seen, in tokens; `None` = the whole document
        is_deterministic: ask flash attention for gradients that are equal in each run
    """
    given: dict[str, Any] = {
        # Transformers hands flash attention (w - 1, w - 1), which is inclusive on both sides.
        "sliding_window": None if window is None else window + 1,
    }
    if is_deterministic:
        given["deterministic"] = True
    if not layout.is_flat:  # a graph is being recorded: positions that restart are all that tells documents apart
        return {**given, "position_ids": layout.position_ids}
    bounds, longest = layout.cu_seq_lens, layout.longest
    given |= {"cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds, "max_length_q": longest, "max_length_k": longest}
    return given

# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Local attention: kernels whose cost grows with length x window, not with the square of the length.

Shapes: b rows, h heads, t tokens, d head size. Queries, keys, values and results are `(b, h, t, d)`. `window` is the
largest distance that a query sees (`|i - j| <= window`; only `j <= i` of a causal layout).
"""

from __future__ import annotations

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

from .cpu_kernels_chinese_modernbert import dense_attention
from .layout_chinese_modernbert import PADDING, TokenLayout, in_reach

# Block of queries of a banded layer, and of one that is sliced. Source: our measurement on CPU, blocks of 64 to 512.
BAND_BLOCK_TOKENS = 128
SLICE_BLOCK_TOKENS = 64
# Under this length the whole matrix with a mask is as fast as bands. Source: our measurement on CPU.
BANDED_FROM_TOKENS = 768
# Over this length bands cut out as views beat the whole matrix. Source: our measurement on CPU, without gradients.
SLICED_FROM_TOKENS = 320


def band_mask(layout: TokenLayout, queries: int, keys: int, window: int | None, states: torch.Tensor) -> torch.Tensor:
    """Return the additive mask `(queries, keys)` of a window or a causal layout: 0 in reach and minus infinity beyond.

    Both begin at the same token, or the keys so much earlier as to be in the middle: a block with its reach.
    """
    name = ("band", queries, keys, window, states.dtype)
    cached = layout.masks.get(name)
    if cached is None:
        place = torch.arange(queries, device=states.device)
        offset = torch.arange(keys, device=states.device) - (keys - queries) // 2
        seen = in_reach(place.unsqueeze(1) - offset.unsqueeze(0), window, layout.is_causal)
        cached = torch.zeros(queries, keys, device=states.device, dtype=states.dtype).masked_fill(~seen, -torch.inf)
        layout.masks[name] = cached
    return cached


def sliced_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int, layout: TokenLayout
) -> torch.Tensor:
    """Local attention of whole documents, one call for each block of queries and no copy of any key.

    Shapes and result as in `banded_attention`. Cheaper than that one where nothing keeps gradients; with gradients
    every block would fill one of the whole row.
    """
    tokens, block = query.shape[2], max(SLICE_BLOCK_TOKENS, window)
    band = band_mask(layout, block, block + 2 * window, window, query)
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
    is_causal: bool = False,
) -> torch.Tensor:
    """Local attention in O(t x window): each block of queries meets the keys within its reach, nothing else.

    Args:
        query, key, value (`torch.Tensor` of shape `(b, h, t, d)`).
        window: largest distance seen, in tokens
        document_ids (`torch.Tensor` of shape `(b, t)`, *optional*): documents that must not see each other;
            without it each row is one document.
        is_causal: let a query see no key after it

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
    mask = _block_mask(document_ids, block, window, is_causal)
    result = dense_attention(queries, keys, values, mask)
    return result.unflatten(0, (query.shape[0], -1)).transpose(1, 2).flatten(2, 3)[:, :, :tokens]


def _blocks(states: torch.Tensor, span: int, step: int) -> torch.Tensor:
    """Cut `(b, h, t, d)` into blocks of `span` tokens every `step`: `(b * blocks, h, span, d)`, a view if b = 1."""
    return states.unfold(2, span, step).permute(0, 2, 1, 4, 3).flatten(0, 1)


def _block_mask(document_ids: torch.Tensor, block: int, window: int, is_causal: bool) -> torch.Tensor:
    """Return the boolean mask `(b * blocks, 1, block, block + 2 * window)` of banded attention."""
    place = torch.arange(block, device=document_ids.device)
    offset = torch.arange(block + 2 * window, device=document_ids.device) - window
    near = in_reach(place.unsqueeze(1) - offset.unsqueeze(0), window, is_causal)
    tail = -document_ids.shape[1] % block
    # Filler queries and keys get an id of their own: a filler query then sees filler, never an empty row.
    queries = pad(document_ids, (0, tail), value=PADDING - 1).unfold(1, block, block)
    keys = pad(document_ids, (window, tail + window), value=PADDING - 1).unfold(1, block + 2 * window, block)
    same = queries.flatten(0, 1).unsqueeze(2) == keys.flatten(0, 1).unsqueeze(1)
    return (near & same).unsqueeze(1)

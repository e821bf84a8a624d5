# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Attention within the documents of a flat row by few, large products: documents of similar length at once.

Each document is padded to a multiple of `ROUND_TO_TOKENS` for the attention alone; tokens are moved there and back by
one gather. Used on a CPU in bfloat16 for many documents, where a call for each costs more than the padding.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

import torch

from .bands_chinese_modernbert import (
    BANDED_FROM_TOKENS,
    SLICED_FROM_TOKENS,
    band_mask,
    banded_attention,
    sliced_attention,
)
from .cpu_kernels_chinese_modernbert import (
    EXPLICIT_TO_TOKENS,
    chunked_attention,
    dense_attention,
    prefers_chunks,
    prefers_products,
)
from .layout_chinese_modernbert import PADDING, TokenLayout, in_reach

# Fewer kinds of length against less padding. Our choice.
ROUND_TO_TOKENS = 32


class Bucket(NamedTuple):
    """Some documents padded to one length; `real`, boolean `(documents, length)`, tells the padding, `None` = none."""

    documents: int
    length: int
    real: torch.Tensor | None


class Buckets(NamedTuple):
    """The documents of a flat row by padded length.

    Attributes:
        places (`torch.Tensor` of shape `(padded,)`, int64): token of each place of the buckets, 0 where there is none.
        tokens (`torch.Tensor` of shape `(tokens,)`, int64): place of each token.
        empty (`torch.Tensor` of shape `(padding,)`, int64): places without a token.
        parts: the buckets, in the order of the places
    """

    places: torch.Tensor
    tokens: torch.Tensor
    empty: torch.Tensor
    parts: tuple[Bucket, ...]


def build_buckets(layout: TokenLayout) -> Buckets:
    """Return the buckets of a flat layout, made once and kept in it."""
    kept = layout.masks.get("buckets")
    if kept is not None:
        return kept
    lengths = torch.tensor(layout.lengths)
    padded = torch.where(lengths <= EXPLICIT_TO_TOKENS, -(-lengths // ROUND_TO_TOKENS) * ROUND_TO_TOKENS, lengths)
    order = torch.argsort(padded, stable=True)
    starts = lengths.cumsum(0) - lengths
    places, parts, first = [], [], 0
    for length, same in groupby(padded[order].tolist()):
        documents = order[first : first + len(list(same))]
        first += len(documents)
        column = torch.arange(length)
        real = column < lengths[documents].unsqueeze(1)
        places.append(torch.where(real, starts[documents].unsqueeze(1) + column, -1).flatten())
        parts.append(Bucket(len(documents), length, None if bool(real.all()) else real))
    place = torch.cat(places)
    tokens = torch.empty(int(lengths.sum()), dtype=torch.int64)
    filled = (place >= 0).nonzero().squeeze(1)
    tokens[place[filled]] = filled
    found = Buckets(place.clamp(min=0), tokens, (place < 0).nonzero().squeeze(1), tuple(parts))
    layout.masks["buckets"] = found
    return found


class _Move(torch.autograd.Function):
    """Gather rows of `(n, ...)`; where `zeroed`, put zeros. Its gradient is the gather back."""

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        index: torch.Tensor,
        back: torch.Tensor,
        zeroed: torch.Tensor | None,
        zeroed_back: torch.Tensor | None,
    ) -> torch.Tensor:
        ctx.moves = index, back, zeroed, zeroed_back
        moved = states.index_select(0, index)
        return moved if zeroed is None or not len(zeroed) else moved.index_fill_(0, zeroed, 0)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        index, back, zeroed, zeroed_back = ctx.moves
        return _Move.apply(gradients[0], back, index, zeroed_back, zeroed), None, None, None, None


def bucketed_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: TokenLayout,
    window: int | None,
    dropout: float,
) -> torch.Tensor:
    """Attend within each document of a flat row.

    Args:
        query, key, value (`torch.Tensor` of shape `(1, h, t, d)`).
        layout: documents of the row
        window: largest distance seen, in tokens; `None` = the whole document
        dropout: probability of dropping an attention weight

    Returns:
        `torch.Tensor` of shape `(1, t, h, d)`.
    """
    buckets = build_buckets(layout)
    rows = [states[0].transpose(0, 1) for states in (query, key, value)]  # (t, h, d)
    moves = buckets.places, buckets.tokens, buckets.empty, None
    sizes = [part.documents * part.length for part in buckets.parts]
    moved = [_Move.apply(states, *moves).split(sizes) for states in rows]
    results = []
    for part, *states in zip(buckets.parts, *moved, strict=True):
        own_query, own_key, own_value = (
            state.unflatten(0, (part.documents, part.length)).transpose(1, 2) for state in states
        )
        attended = attend_documents(own_query, own_key, own_value, layout, window, dropout, part.real)
        results.append(attended.transpose(1, 2).flatten(0, 1))
    result = results[0] if len(results) == 1 else torch.cat(results)
    return _Move.apply(result, buckets.tokens, buckets.places, None, buckets.empty).unsqueeze(0)


def attend_documents(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: TokenLayout,
    window: int | None,
    dropout: float,
    real: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attend within documents of one length, `(documents, h, length, d)`, by the kernel that suits it.

    Args:
        query, key, value: as above
        layout: its direction, and where masks are kept
        window, dropout: see `bucketed_attention`
        real: see `Bucket`
    """
    length = query.shape[2]
    if window is None or length <= window + 1:
        if real is None and not layout.is_causal and prefers_chunks(query, dropout):
            return chunked_attention(query, key, value)
        return dense_attention(query, key, value, _mask(layout, length, real, None, query), dropout)
    if not dropout:
        by_products = prefers_products(query)
        keeps_gradients = query.requires_grad or query.device.type != "cpu"
        if length >= SLICED_FROM_TOKENS and not by_products and not keeps_gradients:
            return sliced_attention(query, key, value, window, layout)
        if length >= (SLICED_FROM_TOKENS if by_products else BANDED_FROM_TOKENS):
            ids = None if real is None else real.long() + PADDING
            return banded_attention(query, key, value, window, ids, layout.is_causal)
    return dense_attention(query, key, value, _mask(layout, length, real, window, query), dropout)


def _mask(
    layout: TokenLayout, length: int, real: torch.Tensor | None, window: int | None, query: torch.Tensor
) -> torch.Tensor | None:
    """Return what is added to the scores of documents of one length: 0 where a query sees a key, else minus infinity.

    A padded query of a local layer or a causal layout sees padding near it, so that no row of the softmax is empty.
    """
    is_bounded = window is not None or layout.is_causal
    if real is None:
        return band_mask(layout, length, length, window, query) if is_bounded else None
    name = ("bucket", length, window, query.dtype)
    kept = layout.masks.get(name)
    if kept is None:
        seen = real[:, None, None, :]
        if is_bounded:
            column = torch.arange(length)
            near = in_reach(column.unsqueeze(1) - column, window, layout.is_causal)
            seen = near & (real.unsqueeze(2) == real.unsqueeze(1)).unsqueeze(1)
        kept = layout.masks[name] = torch.zeros(seen.shape, dtype=query.dtype).masked_fill_(~seen, -torch.inf)
    return kept

# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Global attention on a CPU as plain products of matrices, where they beat torch's own kernel.

Shapes: b rows, h heads, t queries, s keys, d head size. Queries are `(b, h, t, d)`, keys and values `(b, h, s, d)`.
torch's kernel never holds the weights, which a GPU needs; but on a CPU its products are slow in bfloat16, and in
float32 on the processors that `products` knows.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch.nn.functional import scaled_dot_product_attention

from .layout_chinese_modernbert import is_recording
from .products_chinese_modernbert import product, takes_products

# With gradients the weights of all queries are kept; over this length they would take more memory than the rest of the
# layer. Our choice.
EXPLICIT_TO_TOKENS = 1024
# Weights that are made at once, so that they stay in the cache. Our choice.
CALL_WEIGHTS = 2**22
# The lengths from which products in chunks of queries beat sdpa where no gradient is kept, and how many queries a
# chunk has. Source: our measurement of chunks of 64 to 1,024, with bfloat16 instructions and without.
CHUNKED_FROM_TOKENS = {torch.bfloat16: 1024, torch.float32: 384}
CHUNK_TOKENS = 512


@lru_cache(maxsize=1)
def has_bfloat16_products() -> bool:
    """Tell whether this processor multiplies bfloat16 matrices faster than float32 ones."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and torch.backends.mkldnn.is_available()
    except (AttributeError, RuntimeError):  # a private operator, which may go
        return False


def prefers_products(query: torch.Tensor) -> bool:
    """Tell whether the explicit form beats sdpa: bfloat16 on a CPU with instructions for it."""
    is_bfloat16 = query.device.type == "cpu" and query.dtype == torch.bfloat16
    return is_bfloat16 and not is_recording() and has_bfloat16_products()


def dense_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None, dropout: float = 0.0
) -> torch.Tensor:
    """Attend to all keys; the softmax of bfloat16 keeps maximum and sum in float32.

    Args:
        query, key, value: see the module's docstring
        mask (`torch.Tensor`, broadcast to `(b, h, t, s)`): boolean, True where a query sees a key, or added.
        dropout: probability of dropping an attention weight

    Returns:
        `torch.Tensor` of shape `(b, h, t, d)`.
    """
    if not prefers_products(query) or query.shape[2] > EXPLICIT_TO_TOKENS:
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    rows, heads, tokens, _ = query.shape
    at_once = max(1, CALL_WEIGHTS // (heads * tokens * key.shape[2]))
    if rows > at_once:
        is_shared = mask is None or mask.dim() < 4 or mask.shape[0] == 1
        results = []
        for first in range(0, rows, at_once):
            some = slice(first, first + at_once)
            own_mask = mask if is_shared or mask is None else mask[some]
            results.append(dense_attention(query[some], key[some], value[some], own_mask, dropout))
        return torch.cat(results)
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(2, 3))
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    weights = torch.nn.functional.dropout(torch.softmax(scores, dim=-1), p=dropout, training=dropout > 0.0)
    return torch.matmul(weights, value)


def prefers_chunks(query: torch.Tensor, dropout: float) -> bool:
    """Tell whether `chunked_attention` beats sdpa: long text on CPU, with no gradient to keep weights for."""
    return (
        query.device.type == "cpu"
        and query.shape[2] >= CHUNKED_FROM_TOKENS.get(query.dtype, query.shape[2] + 1)
        and not dropout
        and not (torch.is_grad_enabled() and query.requires_grad)
        and (prefers_products(query) or takes_products(query))
    )


def chunked_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Global attention head by head in chunks of queries, as products of matrices.

    The softmax of bfloat16 keeps maximum and sum in float32; asking for float32 weights would triple the time.
    """
    result = torch.empty_like(query)
    multiply = product if takes_products(query) else _matmul
    for row in range(query.shape[0]):
        for head in range(query.shape[1]):
            queries = query[row, head] * query.shape[-1] ** -0.5
            keys, values = key[row, head].contiguous(), value[row, head].contiguous().t()
            for start in range(0, query.shape[2], CHUNK_TOKENS):
                weights = multiply(queries[start : start + CHUNK_TOKENS], keys)
                torch.softmax(weights, dim=-1, out=weights)
                result[row, head, start : start + CHUNK_TOKENS] = multiply(weights, values)
    return result


def _matmul(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.matmul(left, right.t())

# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Where the tokens are: padded batches, packed rows and flat rows brought into one form, once per forward.

Everything a model is given (a padding mask, document ids, restarting positions or cumulative lengths) becomes one
`TokenLayout`. A *flat* layout holds real tokens only, document after document, as one row `[1, tokens]`: padding
costs nothing and documents cannot see each other. A *dense* layout keeps the shape of the batch and is what eager
attention, tracing and export use.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

PADDING = -1
# Below, a boolean is made int64 before it is summed up: OpenVINO keeps the sum of a boolean in 8 bits.


def is_recording() -> bool:
    """Tell whether torch is compiling, exporting or tracing this call: no value of a tensor may be looked at."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def in_reach(distance: torch.Tensor, window: int | None, is_causal: bool) -> torch.Tensor:
    """Tell which keys a query sees, by distance alone: masks of every kernel have their window and direction from here.

    Args:
        distance (`torch.Tensor`, any shape): place of the query minus place of the key, in tokens.
        window: largest distance seen; `None` = any
        is_causal: a query sees no key after it

    Returns:
        A boolean tensor of the same shape.
    """
    if window is None:
        return distance >= 0 if is_causal else torch.ones_like(distance, dtype=torch.bool)
    return (distance >= 0) & (distance <= window) if is_causal else distance.abs() <= window


def is_exporting() -> bool:
    """Tell whether the graph being recorded will run at other lengths: no size may be decided on either.

    `torch.compile` alone may: it guards each size that a decision was taken on, and records anew for another one.
    """
    return torch.jit.is_tracing() or torch.compiler.is_exporting()  # pyright: ignore[reportPrivateImportUsage]


@dataclass
class TokenLayout:
    """Which token belongs to which document, and at which position.

    Attributes:
        document_ids (`torch.Tensor` of shape `(rows, tokens)`, int64): number of the document within its row, counted
            anew from what the caller gave; -1 = padding.
        position_ids (`torch.Tensor` of shape `(rows, tokens)`, int64): rotary position of each token.
        batch_shape: `(batch, length)` of what the caller gave
        is_flat: one row that holds real tokens only, the documents one after another
        kept_index (`torch.Tensor` of shape `(tokens,)`, int64): for a flat row, the place of each token in the
            caller's `batch * length` tokens; `None` where nothing was dropped.
        cu_seq_lens (`torch.Tensor` of shape `(documents + 1,)`, int32): where the documents of a flat row begin.
        given_longest: bound that the caller gave on the length of a flat row's documents, in tokens; `None` = none
        has_padding: some of the caller's tokens may be padding, for all that was given
        is_causal: a token sees none after it, in any layer
        masks: what kernels made from this layout, kept so that no layer makes it twice
    """

    document_ids: torch.Tensor
    position_ids: torch.Tensor
    batch_shape: tuple[int, int]
    is_flat: bool = False
    kept_index: torch.Tensor | None = None
    cu_seq_lens: torch.Tensor | None = None
    given_longest: int | None = None
    has_padding: bool = False
    is_causal: bool = False
    masks: dict[object, Any] = field(default_factory=dict)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Length of each document of a flat row, in tokens; on a GPU, reading it waits for the device."""
        if self.cu_seq_lens is None:
            return ()
        return tuple(length for length in self.cu_seq_lens.diff().tolist() if length)

    @property
    def is_empty(self) -> bool:
        """Whether a flat layout holds no token at all."""
        return self.is_flat and not self.document_ids.shape[1]

    @property
    def longest(self) -> int:
        """Length of the longest document or a bound on it, in tokens (of a row, for a dense layout)."""
        if not self.is_flat:
            return self.batch_shape[1]
        return max(self.lengths, default=0) if self.given_longest is None else self.given_longest

    @property
    def longest_document(self) -> int | torch.Tensor:
        """As `longest`, but exact for a dense layout too; a tensor while a graph is recorded, which may hold any."""
        if self.is_flat:
            return self.longest
        documents = self.document_ids
        alike = (documents.unsqueeze(2) == documents.unsqueeze(1)) & (documents != PADDING).unsqueeze(1)
        if is_recording():
            return alike.long().sum(dim=2).flatten().max(dim=0).values
        return int(alike.sum(dim=2).max()) if documents.numel() else 0

    @property
    def places(self) -> torch.Tensor:
        """Place of each token among the real ones of its row, `(rows, tokens)`: what a window is measured in."""
        return (self.document_ids != PADDING).long().cumsum(dim=1) - 1

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> TokenLayout:
        """Return this layout on a device, moved there once, so that its masks are made once for each device.

        Layers may be spread over devices; `accelerate` moves what a layer is given by this method.
        """
        device = torch.device(device)
        if device in (self.document_ids.device, torch.device(self.document_ids.device.type)):
            return self
        moved = self.masks.get(device)
        if moved is None:
            tensors = {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
            placed = {name: value.to(device, non_blocking=non_blocking) for name, value in tensors.items()}
            moved = self.masks[device] = replace(self, **placed, masks={})
            if self.is_flat and self.given_longest is None:
                moved.lengths = self.lengths
        return moved

    def flatten(self, tokens: torch.Tensor) -> torch.Tensor:
        """Bring a tensor of shape `(batch, length, ...)` into this layout's `(rows, tokens, ...)`."""
        if not self.is_flat:
            return tokens
        flat = tokens.reshape(-1, *tokens.shape[2:])
        return (flat if self.kept_index is None else flat.index_select(0, self.kept_index)).unsqueeze(0)

    def unflatten(self, tokens: torch.Tensor) -> torch.Tensor:
        """Bring a tensor of shape `(rows, tokens, ...)` back to `(batch, length, ...)`; padding becomes zero."""
        layout = self.to(tokens.device)
        if not self.is_flat:
            return tokens.masked_fill((layout.document_ids == PADDING).unsqueeze(-1), 0) if self.has_padding else tokens
        batch, length = self.batch_shape
        flat = tokens.squeeze(0)
        if layout.kept_index is not None:
            padded = flat.new_zeros(batch * length, *flat.shape[1:])
            flat = padded.index_copy(0, layout.kept_index, flat)
        return flat.reshape(batch, length, *tokens.shape[2:])


def build_layout(
    shape: tuple[int, int],
    device: torch.device,
    attention_mask: torch.Tensor | None = None,
    document_ids: torch.Tensor | None = None,
    position_ids: torch.Tensor | None = None,
    cu_seq_lens: torch.Tensor | None = None,
    longest: int | None = None,
    flat: bool = True,
    is_causal: bool = False,
) -> TokenLayout:
    """Return the layout of a batch.

    Args:
        shape: `(batch, length)` of the token ids or embeddings
        device: where the layout's tensors live
        attention_mask (`torch.Tensor` of shape `(batch, length)`): 1 = token, 0 = padding.
        document_ids (`torch.Tensor` of shape `(batch, length)`): equal neighbours = one document; negative = padding.
        position_ids (`torch.Tensor` of shape `(batch, length)` or `(1, length)`): a position that is not its left
            neighbour's plus one begins a new document.
        cu_seq_lens (`torch.Tensor` of shape `(documents + 1,)`): boundaries of one flat row, `[0, ..., length]`.
        longest: no document of that row is longer, in tokens; on a GPU it saves waiting for the boundaries
        flat: drop padding and make one row; else keep the batch's shape
        is_causal: let a token see none after it

    Where `document_ids` and `cu_seq_lens` are given both, either one parts documents. Padding inside a row (a hole)
    parts none: positions count it, a window does not.

    Raises:
        ValueError: For masks of a wrong shape or boundaries that do not cover the row.
    """
    _check_shapes(shape, attention_mask, document_ids, position_ids, cu_seq_lens)
    if cu_seq_lens is not None and not is_recording():
        longest = _check_boundaries(cu_seq_lens, shape[1], longest)
        if flat and attention_mask is None and document_ids is None:
            return _layout_of_boundaries(shape, cu_seq_lens.to(device), position_ids, longest, is_causal)
    bounds = cu_seq_lens if document_ids is None else None
    documents = _document_ids(shape, device, document_ids, position_ids, bounds)
    if attention_mask is not None:
        documents = documents.masked_fill(attention_mask.to(device) == 0, PADDING)
    positions = index = torch.arange(shape[1], device=device).expand(shape)
    if document_ids is not None or position_ids is not None or cu_seq_lens is not None:
        begins = _beginnings(documents, cu_seq_lens if document_ids is not None else None)
        documents = (begins.long().cumsum(dim=1) - 1).masked_fill(documents == PADDING, PADDING)
        positions = index - torch.where(begins, index, torch.zeros_like(index)).cummax(dim=1).values
    if position_ids is not None:
        positions = position_ids.to(device).expand(shape)
    has_padding = attention_mask is not None or document_ids is not None
    layout = TokenLayout(documents, positions, shape, has_padding=has_padding, is_causal=is_causal)
    return _flat_layout(layout) if flat else layout


def _check_shapes(
    shape: tuple[int, int],
    attention_mask: torch.Tensor | None,
    document_ids: torch.Tensor | None,
    position_ids: torch.Tensor | None,
    cu_seq_lens: torch.Tensor | None,
) -> None:
    """Refuse tensors of another shape here, where the message can still say which one it was."""
    if is_exporting():  # comparing sizes would be a decision on them
        return
    for name, tensor in (("attention_mask", attention_mask), ("document_ids", document_ids)):
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)} and the batch {shape}; give one value a token "
                "(packed documents are told apart by document_ids, not by a 4D mask)"
            )
    if position_ids is not None and tuple(position_ids.shape) not in (shape, (1, shape[1])):
        raise ValueError(f"position_ids has shape {tuple(position_ids.shape)}; use {shape} or (1, {shape[1]})")
    if cu_seq_lens is None:
        return
    if cu_seq_lens.dim() != 1 or not len(cu_seq_lens):
        raise ValueError(f"cu_seq_lens has shape {tuple(cu_seq_lens.shape)}; give boundaries from 0 to {shape[1]}")
    if shape[0] != 1:
        raise ValueError(
            f"cu_seq_lens describes one flat row, but the batch has {shape[0]} rows; flatten it to (1, tokens)"
        )


def check_keys(
    cu_seq_lens_q: torch.Tensor | None,
    cu_seq_lens_k: torch.Tensor | None,
    max_length_q: int | None,
    max_length_k: int | None,
) -> None:
    """Refuse boundaries of keys that are not those of the queries, or lengths without any boundaries.

    Raises:
        ValueError: For these; boundaries on a GPU are not looked at.
    """
    if cu_seq_lens_q is None:
        rest = {"cu_seq_lens_k": cu_seq_lens_k, "max_length_q": max_length_q, "max_length_k": max_length_k}
        lone = [name for name, value in rest.items() if value is not None]
        if lone:
            raise ValueError(f"{' and '.join(lone)} came without cu_seq_lens_q; give these boundaries too")
        return
    if max_length_k is not None and max_length_q is not None and max_length_k != max_length_q:
        raise ValueError(f"max_length_q={max_length_q} and max_length_k={max_length_k} differ; give one for both")
    if cu_seq_lens_k is None or cu_seq_lens_k is cu_seq_lens_q or cu_seq_lens_k.device.type != "cpu" or is_recording():
        return
    if cu_seq_lens_k.tolist() != cu_seq_lens_q.tolist():
        raise ValueError("cu_seq_lens_q and cu_seq_lens_k differ; every token is query and key, give the same for both")


def _check_boundaries(cu_seq_lens: torch.Tensor, length: int, longest: int | None) -> int | None:
    """Check the boundaries of a flat row, where that costs no waiting, and return how long its documents may be."""
    if longest is not None and cu_seq_lens.device.type != "cpu":
        return longest
    bounds = cu_seq_lens.tolist()
    if not bounds or bounds[0] != 0 or bounds[-1] != length or bounds != sorted(bounds):
        raise ValueError(
            f"cu_seq_lens goes from {bounds[0] if bounds else None} to {bounds[-1] if bounds else None} over a row of "
            f"{length} tokens; it must rise from 0 to {length}, each document beginning where the one before ends"
        )
    found = max((end - start for start, end in itertools.pairwise(bounds)), default=0)
    if longest is not None and found > longest:
        raise ValueError(f"cu_seq_lens holds a document of {found} tokens and max_length_q={longest}; give its length")
    return found


def _layout_of_boundaries(
    shape: tuple[int, int],
    cu_seq_lens: torch.Tensor,
    position_ids: torch.Tensor | None,
    longest: int | None,
    is_causal: bool,
) -> TokenLayout:
    """Return the layout of a flat row that came as one, without reading any value on the host."""
    documents = _document_ids(shape, cu_seq_lens.device, None, None, cu_seq_lens)
    if position_ids is None:
        begins = cu_seq_lens.to(torch.int64).index_select(0, documents.squeeze(0))
        positions = torch.arange(shape[1], device=cu_seq_lens.device) - begins
    else:
        positions = position_ids.to(cu_seq_lens.device).squeeze(0)
    return TokenLayout(
        document_ids=documents,
        position_ids=positions.unsqueeze(0),
        batch_shape=shape,
        is_flat=True,
        cu_seq_lens=cu_seq_lens.to(torch.int32),
        given_longest=longest,
        is_causal=is_causal,
    )


def _document_ids(
    shape: tuple[int, int],
    device: torch.device,
    document_ids: torch.Tensor | None,
    position_ids: torch.Tensor | None,
    cu_seq_lens: torch.Tensor | None,
) -> torch.Tensor:
    """Return document ids of shape `(batch, length)` from whichever description was given."""
    if cu_seq_lens is not None:
        tokens = torch.arange(shape[1], device=device)
        return torch.bucketize(tokens, cu_seq_lens.to(device=device, dtype=torch.int64)[1:], right=True).unsqueeze(0)
    documents = torch.zeros(shape, dtype=torch.int64, device=device)
    if document_ids is not None:
        documents = document_ids.to(device=device, dtype=torch.int64).clamp(min=PADDING)
    elif position_ids is not None:
        restarts = position_ids[:, 1:] != position_ids[:, :-1] + 1
        documents = documents + torch.nn.functional.pad(restarts.to(device).long().cumsum(dim=1), (1, 0))
    return documents


def _beginnings(documents: torch.Tensor, cu_seq_lens: torch.Tensor | None = None) -> torch.Tensor:
    """Return a boolean `(batch, length)`: True at the first token of each document; padding is looked past.

    Where boundaries are given too, a document also begins with each of these.
    """
    if cu_seq_lens is not None:
        bounded = _document_ids((1, documents.shape[1]), documents.device, None, None, cu_seq_lens)
        return _beginnings(documents) | _beginnings(bounded.masked_fill(documents == PADDING, PADDING))
    real = documents != PADDING
    index = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    last_real = torch.where(real, index, torch.full_like(index, -1)).cummax(dim=1).values
    before = torch.nn.functional.pad(last_real[:, :-1], (1, 0), value=-1)  # the real token before each token
    return real & ((before < 0) | (documents.gather(1, before.clamp(min=0)) != documents))


def _flat_layout(layout: TokenLayout) -> TokenLayout:
    """Turn a dense layout into one row of real tokens, with the boundaries of its documents."""
    documents = layout.document_ids
    kept = None
    if layout.has_padding:
        real = documents.reshape(-1) != PADDING
        kept = real.nonzero().squeeze(1)
        if kept.numel() == real.numel():
            kept = None
    # A document is told by how many begin up to it, so that equal ids in different rows stay apart. Padding inside a
    # row (a hole in the mask) does not split a document: its id is the same on both sides, and it is counted once.
    flat_ids = documents.reshape(-1) if kept is None else documents.reshape(-1).index_select(0, kept)
    rows = torch.arange(documents.shape[0], device=documents.device).repeat_interleave(documents.shape[1])
    flat_rows = rows if kept is None else rows.index_select(0, kept)
    changes = (flat_ids[1:] != flat_ids[:-1]) | (flat_rows[1:] != flat_rows[:-1])
    begins = torch.nn.functional.pad(changes.nonzero().squeeze(1) + 1, (1, 0))[: flat_ids.numel()]
    bounds = torch.nn.functional.pad(begins, (0, 1), value=flat_ids.numel()).to(torch.int32)
    positions = layout.position_ids.reshape(-1)
    return TokenLayout(
        document_ids=torch.nn.functional.pad(changes.long().cumsum(0), (1, 0))[: flat_ids.numel()].unsqueeze(0),
        position_ids=(positions if kept is None else positions.index_select(0, kept)).unsqueeze(0),
        batch_shape=layout.batch_shape,
        is_flat=True,
        kept_index=kept,
        cu_seq_lens=bounds,
        is_causal=layout.is_causal,
    )

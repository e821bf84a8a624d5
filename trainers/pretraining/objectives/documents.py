"""Documents of packed rows: which tokens they are, where they begin, and groups of them of similar length."""

from collections.abc import Iterator
from typing import NamedTuple

import torch


class Documents(NamedTuple):
    """The documents of a batch in reading order.

    Attributes:
        token_index: int64 `[T]`, flat index `row * L + column` of every real token
        document: int64 `[T]`, number of each token's document, 0..D-1
        position: int64 `[T]`, position of each token in its document
        start: int64 `[D]`, where each document begins in the columns above
        length: int64 `[D]`, tokens with [CLS] and [SEP]
    """

    token_index: torch.Tensor
    document: torch.Tensor
    position: torch.Tensor
    start: torch.Tensor
    length: torch.Tensor


def find_documents(document_ids: torch.Tensor) -> Documents:
    """Find the documents of int `[B, L]` ids: a change of id or of row begins one, negative ids are padding."""
    rows = torch.arange(len(document_ids), device=document_ids.device).unsqueeze(1).expand_as(document_ids).flatten()
    flat = document_ids.flatten()
    token_index = (flat >= 0).nonzero().squeeze(1)
    ids, rows = flat[token_index], rows[token_index]
    begins = torch.ones_like(token_index, dtype=torch.bool)
    begins[1:] = (ids[1:] != ids[:-1]) | (rows[1:] != rows[:-1])
    start = begins.nonzero().squeeze(1)
    document = begins.cumsum(0) - 1
    position = torch.arange(len(token_index), device=flat.device) - start[document]
    length = torch.diff(start, append=start.new_tensor([len(token_index)]))
    return Documents(token_index, document, position, start, length)


def groups_by_length(length: torch.Tensor, most_cells: int) -> Iterator[torch.Tensor]:
    """Yield int64 `[d]` numbers of documents, longest first, such that d * longest ** 2 stays within `most_cells`.

    A document that is over the limit by itself makes a group alone.
    """
    order = length.argsort(descending=True, stable=True)
    sizes, first = length[order].tolist(), 0
    while first < len(sizes):
        count = max(1, most_cells // max(1, sizes[first] ** 2))
        yield order[first : first + count]
        first += count

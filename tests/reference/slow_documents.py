"""What a forward must give, by the slow obvious way: every document alone through the eager kernel."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import torch

Given = dict[str, Any]


class Document(NamedTuple):
    """One document: its row, the places of its tokens there, and their positions."""

    row: int
    places: list[int]
    positions: list[int]


def shape_of(given: Given) -> tuple[int, int]:
    """Return `(batch, length)`."""
    tokens = given["input_ids"] if given.get("input_ids") is not None else given["inputs_embeds"]
    return tokens.shape[0], tokens.shape[1]


def is_refused(given: Given) -> bool:
    """Tell whether arguments contradict each other, so that a forward has to raise."""
    has = {name for name, value in given.items() if value is not None}
    if len(has & {"input_ids", "inputs_embeds"}) != 1 or {"document_ids", "seq_idx"} <= has:
        return True
    rows, length = shape_of(given)
    by_token = has & {"attention_mask", "document_ids", "seq_idx", "position_ids"}
    if any(tuple(given[name].shape) not in ((rows, length), (1, length)) for name in by_token):
        return True
    if any(given[name].shape[0] != rows for name in by_token - {"position_ids"}):
        return True
    if "cu_seq_lens_q" not in has:
        return bool(has & {"cu_seq_lens_k", "max_length_q", "max_length_k"})
    bounds = given["cu_seq_lens_q"].tolist()
    sound = rows == 1 and bounds and bounds[0] == 0 and bounds[-1] == length and bounds == sorted(bounds)
    if not sound or given.get("cu_seq_lens_k", given["cu_seq_lens_q"]).tolist() != bounds:
        return True
    longest = max(end - start for start, end in itertools.pairwise(bounds)) if len(bounds) > 1 else 0
    bound = given.get("max_length_q")
    return bound is not None and (bound < longest or given.get("max_length_k", bound) != bound)


def documents_of(given: Given) -> list[Document]:
    """Walk a batch token by token and return its documents."""
    rows, length = shape_of(given)
    found: list[Document] = []
    for row in range(rows):
        previous = None
        for place in range(length):
            marks = _marks(given, row, place)
            if marks is None:
                continue
            if marks != previous:
                found.append(Document(row, [], []))
            found[-1].places.append(place)
            previous = marks
    positions = given.get("position_ids")
    for document in found:
        for place in document.places:
            own = place - document.places[0]
            document.positions.append(
                own if positions is None else int(positions.expand(rows, -1)[document.row, place])
            )
    return found


def _marks(given: Given, row: int, place: int) -> tuple[int, ...] | None:
    """Return what tells the document of a token from that of its neighbour, None at padding."""
    mask, ids, bounds = given.get("attention_mask"), given.get("document_ids"), given.get("cu_seq_lens_q")
    ids = given.get("seq_idx") if ids is None else ids
    if (mask is not None and not mask[row, place]) or (ids is not None and ids[row, place] < 0):
        return None
    marks = []
    if ids is not None:
        marks.append(int(ids[row, place]))
    if bounds is not None:
        marks.append(sum(bound <= place for bound in bounds.tolist()))
    if not marks and given.get("position_ids") is not None:
        positions = given["position_ids"].expand(shape_of(given)[0], -1)[row].tolist()
        marks.append(sum(after != before + 1 for before, after in itertools.pairwise(positions[: place + 1])))
    return tuple(marks)


@torch.no_grad()
def slow_states(model: Any, given: Given) -> tuple[torch.Tensor, ...]:
    """Return the hidden states of every layer and the final output, zero at padding.

    Args:
        model: the encoder, with the eager kernel
        given: sound arguments of its forward
    """
    embeds = given.get("inputs_embeds")
    embeds = model.get_input_embeddings()(given["input_ids"]) if embeds is None else embeds
    states = [torch.zeros_like(embeds) for _ in range(len(model.layers) + 1)]
    for document in documents_of(given):
        alone = model(
            inputs_embeds=embeds[document.row, document.places].unsqueeze(0),
            position_ids=torch.tensor([document.positions]),
            document_ids=torch.zeros(1, len(document.places), dtype=torch.int64),
            output_hidden_states=True,
        )
        for whole, own in zip(states, alone.hidden_states, strict=True):
            whole[document.row, document.places] = own[0]
    return tuple(states)


def real_tokens(given: Given) -> torch.Tensor:
    """Return a boolean `(batch, length)`, True at the tokens of documents."""
    real = torch.zeros(shape_of(given), dtype=torch.bool)
    for document in documents_of(given):
        real[document.row, document.places] = True
    return real

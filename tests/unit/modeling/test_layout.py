"""Layouts: every description of documents ends in the same boundaries, and nothing is lost on the way back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chinese_modernbert.modeling.layout_chinese_modernbert import build_layout

CPU = torch.device("cpu")


def documents_by_hand(rows: list[list[int]]) -> list[tuple[int, int]]:
    """Return (first flat place, length) of each document, walking token by token."""
    found: list[list[int]] = []
    kept = 0
    for row in rows:
        previous = None
        for document in row:
            if document < 0:
                continue
            if document != previous:
                found.append([kept, 0])
            found[-1][1] += 1
            previous = document
            kept += 1
    return [(first, length) for first, length in found]


rows_of_documents = st.integers(1, 4).flatmap(
    lambda length: st.lists(
        st.lists(st.integers(-1, 3), min_size=length * 5, max_size=length * 5), min_size=1, max_size=4
    )
)


@settings(max_examples=200, deadline=None)
@given(rows_of_documents)
def test_boundaries_equal_a_walk_token_by_token(rows: list[list[int]]) -> None:
    ids = torch.tensor(rows)
    layout = build_layout(tuple(ids.shape), CPU, document_ids=ids)
    expected = documents_by_hand(rows)
    assert layout.lengths == tuple(length for _, length in expected)
    assert layout.cu_seq_lens is not None
    assert layout.cu_seq_lens.tolist()[:-1] == [first for first, _ in expected]
    tokens = torch.arange(1, ids.numel() + 1).view(ids.shape).float()
    back = layout.unflatten(layout.flatten(tokens))
    assert torch.equal(back, tokens.masked_fill(ids < 0, 0.0))


def test_a_padding_mask_makes_one_document_a_row() -> None:
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 0], [1, 1, 1, 1]])
    layout = build_layout((3, 4), CPU, attention_mask=mask)
    assert layout.lengths == (3, 2, 4)
    assert layout.position_ids.tolist() == [[0, 1, 2, 1, 2, 0, 1, 2, 3]]


def test_positions_that_restart_begin_a_document() -> None:
    positions = torch.tensor([[0, 1, 2, 0, 1, 0]])
    layout = build_layout((1, 6), CPU, position_ids=positions)
    assert layout.lengths == (3, 2, 1)
    assert torch.equal(layout.position_ids, positions)


def test_document_ids_and_cumulative_lengths_restart_positions() -> None:
    by_ids = build_layout((1, 6), CPU, document_ids=torch.tensor([[7, 7, 7, 2, 2, 9]]))
    by_bounds = build_layout((1, 6), CPU, cu_seq_lens=torch.tensor([0, 3, 5, 6], dtype=torch.int32))
    assert by_ids.lengths == by_bounds.lengths == (3, 2, 1)
    assert by_ids.position_ids.tolist() == by_bounds.position_ids.tolist() == [[0, 1, 2, 0, 1, 0]]


def test_a_batch_of_nothing_but_padding_has_no_document() -> None:
    layout = build_layout((2, 3), CPU, attention_mask=torch.zeros(2, 3))
    assert layout.lengths == ()
    assert layout.unflatten(layout.flatten(torch.ones(2, 3, 5))).abs().sum() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attention_mask": torch.ones(2, 1, 3, 3)}, "attention_mask has shape"),
        ({"document_ids": torch.ones(2, 2)}, "document_ids has shape"),
        ({"position_ids": torch.arange(3)}, "position_ids has shape"),
        ({"cu_seq_lens": torch.tensor([0, 3])}, "one flat row"),
    ],
)
def test_wrong_shapes_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_layout((2, 3), CPU, **arguments)


@settings(max_examples=200, deadline=None)
@given(rows_of_documents)
def test_a_dense_layout_has_the_documents_and_positions_of_the_flat_one(rows: list[list[int]]) -> None:
    ids = torch.tensor(rows)
    flat = build_layout(tuple(ids.shape), CPU, document_ids=ids)
    dense = build_layout(tuple(ids.shape), CPU, document_ids=ids, flat=False)
    real = dense.document_ids >= 0
    assert torch.equal(real, ids >= 0)
    assert dense.position_ids[real].tolist() == flat.position_ids[0].tolist()
    row_of = torch.arange(len(rows)).unsqueeze(1).expand_as(ids)[real]
    pairs = list(zip(row_of.tolist(), dense.document_ids[real].tolist(), strict=True))
    numbers = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
    assert [numbers[pair] for pair in pairs] == flat.document_ids[0].tolist()
    assert dense.longest_document == flat.longest


@pytest.mark.parametrize("bounds", [[0, 4], [0, 4, 30], [3, 12], [0, 8, 4, 12]])
def test_boundaries_that_do_not_cover_the_row_are_refused(bounds: list[int]) -> None:
    with pytest.raises(ValueError, match="must rise from 0 to 12"):
        build_layout((1, 12), CPU, cu_seq_lens=torch.tensor(bounds))

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chinese_modernbert.trainers.data.packing import PackedRows, SpecialIds, best_fit, pack_rows
from chinese_modernbert.trainers.data.sampling import epoch_order
from chinese_modernbert.trainers.data.shards import TokenShards
from reference.packing import best_fit_bins, cut
from reference.shard_folders import random_documents, write_folder

SPECIALS = SpecialIds(cls=2, sep=3, pad=0)


def shards_of(folder: Path, lengths: list[int], seed: int = 0) -> TokenShards:
    return TokenShards(write_folder(folder, [random_documents(lengths, seed=seed)]))


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=60),
    context=st.integers(3, 40),
    window=st.sampled_from([1, 7, 1000]),
)
def test_every_token_is_in_exactly_one_row_and_documents_are_cut_only_where_they_must_be(
    lengths: list[int], context: int, window: int
) -> None:
    order = np.random.default_rng(0).permutation(len(lengths))
    plan = pack_rows(np.array(lengths), context, order, window)
    pieces: dict[int, list[tuple[int, int]]] = {}
    for row in range(len(plan)):
        rows_pieces = plan.pieces(row)
        assert 0 < sum(int(plan.length[p]) + 2 for p in rows_pieces) <= context
        for p in rows_pieces:
            pieces.setdefault(int(plan.sample[p]), []).append((int(plan.start[p]), int(plan.length[p])))
    assert {number: sorted(found) for number, found in pieces.items()} == {
        number: cut(length, context) for number, length in enumerate(lengths)
    }


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=80))
def test_best_fit_opens_as_many_bins_as_the_obvious_algorithm(sizes: list[int]) -> None:
    bins = best_fit(np.array(sizes), 50)
    assert int(bins.max()) + 1 == best_fit_bins(sizes, 50)
    assert np.bincount(bins, weights=sizes).max() <= 50


@pytest.mark.parametrize("context", [256, 1024, 8192])
def test_rows_of_real_lengths_are_at_least_98_percent_full(context: int) -> None:
    lengths = np.random.default_rng(1).lognormal(4.5, 1.3, 30_000).astype(int) + 5
    plan = pack_rows(lengths, context, epoch_order(len(lengths), 0, 0))
    assert plan.packing_efficiency > 0.98


def test_a_hundred_thousand_documents_are_planned_in_seconds() -> None:
    lengths = np.random.default_rng(2).lognormal(4.5, 1.3, 100_000).astype(int) + 5
    began = time.process_time()
    pack_rows(lengths, 1024, epoch_order(len(lengths), 0, 0))
    assert time.process_time() - began < 3.0


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    assert np.array_equal(epoch_order(500, 3, 1), epoch_order(500, 3, 1))
    orders = [epoch_order(500, seed, epoch).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert all(sorted(order) == list(range(500)) for order in orders)


def test_rows_are_not_sorted_by_length() -> None:
    lengths = np.random.default_rng(3).integers(5, 200, 5000)
    plan = pack_rows(lengths, 256, epoch_order(5000, 0, 0))
    first, second = np.array_split(np.diff(plan.row_starts), 2)
    assert first.mean() == pytest.approx(second.mean(), rel=0.05)


def test_a_context_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="context_length=2 leaves no room"):
        pack_rows(np.array([4]), 2, np.array([0]))


def test_a_row_holds_each_document_between_cls_and_sep_isolated_and_padded(tmp_path: Path) -> None:
    shards = shards_of(tmp_path, [5, 3, 4, 25])
    rows = PackedRows(shards, 16, seed=0, epoch=0, specials=SPECIALS)
    seen = []
    for number in range(len(rows)):
        row = rows[number]
        ids, documents, words = (row[name].numpy() for name in ("input_ids", "document_ids", "word_ids"))
        assert row["input_ids"].dtype == torch.int64
        assert row["document_ids"].dtype == row["word_ids"].dtype == torch.int32
        assert ((documents < 0) == (ids == SPECIALS.pad)).all()
        for piece, place in zip(rows.plan.pieces(number), range(int(documents.max()) + 1), strict=True):
            text = ids[documents == place]
            source = shards.read(
                int(rows.plan.sample[piece]), int(rows.plan.start[piece]), int(rows.plan.length[piece])
            )
            assert text.tolist() == [2, *source.input_ids.tolist(), 3]
            inside = words[documents == place]
            assert inside[0] == inside[-1] == -1
            starts = np.diff(inside[1:-1]) != 0
            assert starts.tolist() == source.word_starts[1:].tolist()
            seen.append((int(rows.plan.sample[piece]), len(text) - 2))
    assert sorted(seen) == [(0, 5), (1, 3), (2, 4), (3, 11), (3, 14)]


def test_a_text_has_the_same_sample_id_in_every_epoch_and_batch(tmp_path: Path) -> None:
    shards = shards_of(tmp_path, [14] * 20)
    by_epoch = []
    for epoch in (0, 1):
        rows = PackedRows(shards, 16, seed=0, epoch=epoch, specials=SPECIALS)
        by_epoch.append({int(rows[i]["sample_id"]): rows[i]["input_ids"].tolist() for i in range(len(rows))})
        assert {int(rows[i]["epoch"]) for i in range(len(rows))} == {epoch}
    assert by_epoch[0] == by_epoch[1]
    assert len(by_epoch[0]) == 20


def test_sample_ids_are_unique_within_an_epoch(tmp_path: Path) -> None:
    lengths = np.random.default_rng(5).integers(1, 60, 200).tolist()
    rows = PackedRows(shards_of(tmp_path, lengths), 32, seed=0, epoch=0, specials=SPECIALS)
    ids = [int(rows[i]["sample_id"]) for i in range(len(rows))]
    assert len(set(ids)) == len(ids)


def test_documents_from_a_row_are_those_that_no_earlier_row_touched(tmp_path: Path) -> None:
    rows = PackedRows(shards_of(tmp_path, [30, 5, 6, 40, 3]), 16, seed=0, epoch=0, specials=SPECIALS)
    for row in range(len(rows) + 1):
        earlier = {int(d) for r in range(row) for d in rows.documents_of(r)}
        assert set(rows.samples_from(row).tolist()) == set(range(5)) - earlier

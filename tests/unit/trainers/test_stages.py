import numpy as np
import pytest
import torch

from chinese_modernbert.trainers.packing import SpecialIds
from chinese_modernbert.trainers.shards import TokenShards
from chinese_modernbert.trainers.stages import Stage, StagedBatches, stage_at, stage_ends
from reference.shard_folders import random_documents, write_folder

SPECIALS = SpecialIds(cls=2, sep=3, pad=0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> TokenShards:
    lengths = np.random.default_rng(4).integers(1, 60, 120).tolist()
    folder = tmp_path_factory.mktemp("shards")
    return TokenShards(write_folder(folder, [random_documents(lengths[:70]), random_documents(lengths[70:], seed=1)]))


def batches(
    shards: TokenShards, ends: list[int], accumulation: int = 1, tokens: int = 64, seed: int = 0
) -> StagedBatches:
    stages = [Stage(32), Stage(64)][: len(ends)]
    return StagedBatches(shards, stages, ends, accumulation, tokens, seed, SPECIALS)


def row_list(found: StagedBatches) -> list[tuple[int, list[int]]]:
    """Return (context length, ids) of every row of a run, in order."""
    items = [found[i] for i in range(len(found))]
    return [(row.shape[0], row.tolist()) for item in items for row in item["input_ids"]]


@pytest.mark.parametrize(
    ("stages", "max_steps", "ends"),
    [
        ([Stage(8, share=1.0)], 7, [7]),
        ([Stage(8, share=0.85), Stage(16, share=0.15)], 1000, [850, 1000]),
        ([Stage(8, share=1 / 3), Stage(16, share=1 / 3), Stage(32, share=1 / 3)], 100, [33, 67, 100]),
        ([Stage(8, steps=10), Stage(16, steps=5)], -1, [10, 15]),
        ([Stage(8, steps=10), Stage(16, steps=5)], 15, [10, 15]),
    ],
)
def test_stages_end_where_their_shares_or_steps_say(stages: list[Stage], max_steps: int, ends: list[int]) -> None:
    assert stage_ends(stages, max_steps) == ends


@pytest.mark.parametrize(
    ("stages", "max_steps", "message"),
    [
        ([], 10, "stages is empty"),
        ([Stage(8, share=0.5), Stage(16, share=0.4)], 10, "sum to 0.9"),
        ([Stage(8, share=1.0)], -1, "need max_steps or max_tokens"),
        ([Stage(8, steps=3)], 10, "sum to 3, but max_steps is 10"),
        ([Stage(8, steps=3), Stage(16, share=0.5)], 10, "not a mixture"),
        ([Stage(8)], 10, "not a mixture"),
        ([Stage(8, share=0.99), Stage(16, share=0.01)], 10, "a stage has no step"),
    ],
)
def test_stages_that_do_not_fit_are_refused(stages: list[Stage], max_steps: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stage_ends(stages, max_steps)


def test_the_stage_of_a_step_changes_at_its_end() -> None:
    assert [stage_at(step, [3, 5]) for step in range(7)] == [0, 0, 0, 1, 1, 1, 1]


def test_a_micro_batch_has_the_same_tokens_in_every_stage(shards: TokenShards) -> None:
    found = batches(shards, [4, 6], accumulation=2, tokens=128)
    assert len(found) == 12
    assert [tuple(found[i]["input_ids"].shape) for i in range(12)] == [(4, 32)] * 8 + [(2, 64)] * 4


def test_accumulating_four_micro_batches_reads_the_rows_of_one_four_times_as_large(shards: TokenShards) -> None:
    assert row_list(batches(shards, [6, 9], 4, 64)) == row_list(batches(shards, [6, 9], 1, 256))


def test_an_item_does_not_depend_on_the_items_read_before_it(shards: TokenShards) -> None:
    straight = batches(shards, [60, 90])
    expected = [straight[i] for i in range(90)]
    for index in (89, 61, 60, 3):
        alone = batches(shards, [60, 90])[index]
        assert all(torch.equal(alone[name], expected[index][name]) for name in expected[index])


def test_every_epoch_reads_every_document_once_in_another_order(shards: TokenShards) -> None:
    found = batches(shards, [300])
    by_epoch: dict[int, list[int]] = {}
    for index in range(len(found)):
        for rows, row in found.rows_of(index):
            by_epoch.setdefault(rows.epoch, []).extend(rows.documents_of(row).tolist())
    assert len(by_epoch) > 3
    for epoch in range(max(by_epoch)):
        assert set(by_epoch[epoch]) == set(range(120))
    assert by_epoch[0] != by_epoch[1]


def test_the_second_stage_goes_on_with_documents_that_the_first_has_not_reached(shards: TokenShards) -> None:
    found = batches(shards, [20, 80])
    first = {d for i in range(20) for rows, row in found.rows_of(i) for d in rows.documents_of(row).tolist()}
    second = [(rows.epoch, d) for i in range(20, 80) for rows, row in found.rows_of(i) for d in rows.documents_of(row)]
    same_epoch = {int(d) for epoch, d in second if epoch == 0}
    assert same_epoch == set(range(120)) - first
    assert {epoch for epoch, _ in second} >= {0, 1}


def test_columns_are_those_that_masking_reads(shards: TokenShards) -> None:
    item = batches(shards, [4])[1]
    assert set(item) == {"input_ids", "document_ids", "word_ids", "sample_ids", "epochs", "micro_batch"}
    assert item["sample_ids"].shape == item["epochs"].shape == (2,)
    assert int(item["micro_batch"]) == 1


def test_documents_of_a_micro_batch_are_named_by_shard(shards: TokenShards) -> None:
    names = batches(shards, [60]).documents_of(2)
    assert len(names) == len(set(names)) > 0
    assert all(name.startswith(("shard-00000:", "shard-00001:")) for name in names)


@pytest.mark.parametrize("tokens", [48, 16])
def test_a_context_that_does_not_divide_the_micro_batch_is_refused(shards: TokenShards, tokens: int) -> None:
    with pytest.raises(ValueError, match=f"tokens_per_micro_batch={tokens} is not a multiple of the context_length=32"):
        batches(shards, [4], tokens=tokens)


def test_a_number_outside_the_run_is_refused(shards: TokenShards) -> None:
    with pytest.raises(IndexError):
        batches(shards, [4])[4]

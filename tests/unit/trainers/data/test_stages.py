import logging

import numpy as np
import pytest
import torch

from chinese_modernbert.trainers.data.batch_plan import BatchSizeWarmup
from chinese_modernbert.trainers.data.packing import SpecialIds
from chinese_modernbert.trainers.data.shards import TokenShards
from chinese_modernbert.trainers.data.stages import Stage, StagedBatches, stage_at, stage_ends
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


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> TokenShards:
    """Return 40 long documents (source b) among 400 short ones (source a)."""
    parts = []
    for number in range(40):
        random = np.random.default_rng(number)
        parts.append(random_documents([*random.integers(1, 30, 10), int(random.integers(40, 140))], seed=number))
    return TokenShards(write_folder(tmp_path_factory.mktemp("mixed"), parts))


def samples_by_epoch(found: StagedBatches, first: int, last: int) -> dict[int, list[int]]:
    """Return the distinct samples of some micro-batches by epoch; a document cut in pieces is one sample."""
    by_epoch: dict[int, dict[int, None]] = {}
    for index in range(first, last):
        for rows, row in found.rows_of(index):
            pieces = slice(rows.plan.row_starts[row], rows.plan.row_starts[row + 1])
            by_epoch.setdefault(rows.epoch, {}).update(dict.fromkeys(rows.plan.sample[pieces].tolist()))
    return {epoch: list(samples) for epoch, samples in by_epoch.items()}


def test_a_source_is_read_as_often_as_its_weight_says(mixed: TokenShards) -> None:
    weights = {"a": 0.5, "b": 3.0}
    found = StagedBatches(mixed, [Stage(32, share=1.0)], [1500], 1, 64, 0, SPECIALS, weights)
    by_epoch = samples_by_epoch(found, 0, 1500)
    whole = [np.bincount(np.array(by_epoch[epoch]) % 440, minlength=440) for epoch in sorted(by_epoch)[:-1]]
    assert len(whole) > 3
    is_b = mixed.source_of == mixed.source_names.index("b")
    assert all((copies[is_b] == 3).all() for copies in whole)
    assert all(set(copies[~is_b]) <= {0, 1} for copies in whole)
    assert all((first[~is_b] + second[~is_b] == 1).all() for first, second in zip(whole, whole[1:], strict=False))


def test_two_copies_of_a_text_in_one_epoch_get_different_masks(mixed: TokenShards) -> None:
    found = StagedBatches(mixed, [Stage(160, share=1.0)], [60], 1, 160, 0, SPECIALS, {"b": 4.0})
    items = [found[index] for index in range(len(found))]
    named = [(int(item["sample_ids"][0]), int(item["epochs"][0])) for item in items]
    assert len(set(named)) == len(named)
    starts = [int(item["sample_ids"][0]) % int(mixed.lengths.sum()) for item in items]
    assert len(set(starts)) < len(starts)


def test_a_stage_may_have_weights_of_its_own(mixed: TokenShards) -> None:
    stages = [Stage(32, share=0.2), Stage(64, share=0.8, source_weights={"a": 0.0})]
    found = StagedBatches(mixed, stages, [100, 500], 1, 64, 0, SPECIALS, {"b": 2.0})
    by_epoch = samples_by_epoch(found, 100, 500)
    later = {sample % 440 for samples in by_epoch.values() for sample in samples}
    assert {mixed.source_names[mixed.source_of[document]] for document in later} == {"b"}
    copies = np.bincount(np.array(by_epoch[1]) % 440, minlength=440)
    assert (copies[mixed.source_of == mixed.source_names.index("b")] == 2).all()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("first_steps", [40, 130])
def test_a_stage_takes_its_share_of_positions_from_long_documents(
    mixed: TokenShards, share: float, first_steps: int
) -> None:
    stages = [Stage(32, share=0.5), Stage(128, share=0.5, long_share=share)]
    found = StagedBatches(mixed, stages, [first_steps, first_steps + 600], 1, 128, 0, SPECIALS)
    positions = {True: 0, False: 0}
    for index in range(first_steps, first_steps + 600):
        for rows, row in found.rows_of(index):
            for piece in rows.plan.pieces(row):
                document = int(rows.plan.sample[piece]) % len(mixed)
                positions[bool(mixed.lengths[document] > 32)] += int(rows.plan.length[piece]) + 2
    assert positions[True] / sum(positions.values()) == pytest.approx(share, abs=0.03)


def test_documents_that_were_not_reached_come_first_under_a_long_share_too(mixed: TokenShards) -> None:
    stages = [Stage(32, share=0.5), Stage(128, share=0.5, long_share=0.8)]
    found = StagedBatches(mixed, stages, [60, 360], 1, 128, 0, SPECIALS)
    before = {sample % 440 for samples in samples_by_epoch(found, 0, 60).values() for sample in samples}
    first = samples_by_epoch(found, 60, 360)[0]
    assert 0 < len(before) < 440
    assert set(range(440)) - before <= {sample % 440 for sample in first}
    assert not before & {sample for sample in first if mixed.lengths[sample % 440] <= 32}


def test_a_log_line_says_how_often_long_documents_are_read(
    mixed: TokenShards, caplog: pytest.LogCaptureFixture
) -> None:
    stages = [Stage(32, share=0.5), Stage(128, share=0.5, long_share=0.9)]
    with caplog.at_level(logging.INFO):
        found = StagedBatches(mixed, stages, [40, 640], 1, 128, 0, SPECIALS)
    line = next(record.getMessage() for record in caplog.records if "each read" in record.getMessage())
    read = [sample % 440 for samples in samples_by_epoch(found, 40, 640).values() for sample in samples]
    times = np.bincount(read, minlength=440)[mixed.lengths > 32]
    assert line.startswith("stage 2: 0.9 of the positions from 40 documents over 32 tokens, each read ")
    assert float(line.split("each read ")[1].split(" ")[0]) == pytest.approx(times.mean(), rel=0.1)


@pytest.mark.parametrize(
    ("stages", "weights", "message"),
    [
        ([Stage(32, share=1.0, long_share=0.5)], None, "long_share in the first stage needs long_tokens"),
        ([Stage(32, share=1.0, long_share=0.5, long_tokens=900)], None, "no document that is read is over long_tokens"),
        ([Stage(32, share=1.0)], {"c": 2.0}, "names no source of the corpus: c; it has a, b"),
        ([Stage(32, share=1.0, source_weights={"a": -1.0})], None, "'a' the weight -1.0"),
    ],
)
def test_weights_and_shares_that_the_corpus_cannot_give_are_refused_at_construction(
    mixed: TokenShards, stages: list[Stage], weights: dict[str, float] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        StagedBatches(mixed, stages, [10], 1, 64, 0, SPECIALS, weights)


def test_a_growing_batch_reads_the_same_rows_in_the_same_order(shards: TokenShards) -> None:
    stages, ramp = [Stage(32, share=0.5), Stage(64, share=0.5)], BatchSizeWarmup(0.4, 0.25)
    found = StagedBatches(shards, stages, [6, 10], 1, 256, 0, SPECIALS, ramp=ramp)
    assert [len(found[index]["input_ids"]) for index in range(10)] == [2, 4, 4, 6, 8, 8, 4, 4, 4, 4]
    assert [found.positions_before(step) for step in (0, 1, 2, 4, 5)] == [0, 64, 192, 512, 768]
    full = row_list(StagedBatches(shards, stages, [5, 9], 1, 256, 0, SPECIALS))
    first = [row for row in row_list(found) if row[0] == 32]
    assert first == full[: len(first)]


def test_a_log_line_says_how_many_positions_a_ramp_takes_away(
    shards: TokenShards, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        StagedBatches(shards, [Stage(32, share=1.0)], [10], 1, 256, 0, SPECIALS, ramp=BatchSizeWarmup(0.4, 0.25))
    wanted = "the batch grows over the first 4 steps: 10 steps read 2048 positions, 512 fewer than full batches would"
    assert wanted in caplog.text


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

"""Sizes of micro-batches against the obvious list of all of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chinese_modernbert.trainers.data.batch_plan import BatchSizeWarmup, plan_batches
from chinese_modernbert.trainers.data.stages import Stage, steps_for_positions


def test_the_batch_grows_in_equal_stairs_over_the_first_share_of_the_steps() -> None:
    assert BatchSizeWarmup(0.03, 0.25).stairs(1000) == [(0, 0.25), (10, 0.5), (20, 0.75), (30, 1.0)]
    assert BatchSizeWarmup(0.5, 0.4).stairs(8) == [(0, 0.4), (2, 0.8), (4, 1.0)]


@pytest.mark.parametrize("ramp", [BatchSizeWarmup(), BatchSizeWarmup(0.0, 0.1), BatchSizeWarmup(0.3, 1.0)])
def test_without_a_share_or_with_a_full_start_there_is_no_ramp(ramp: BatchSizeWarmup) -> None:
    plan = plan_batches([32], [50], 2, 256, ramp)
    assert plan.rows.tolist() == [8]
    assert plan.positions_before(50) == 50 * 2 * 256


@pytest.mark.parametrize(("share", "start"), [(-0.1, 0.25), (1.0, 0.25), (0.1, 0.0), (0.1, 1.5)])
def test_a_ramp_out_of_range_is_refused(share: float, start: float) -> None:
    with pytest.raises(ValueError, match="batch_size_warmup_share="):
        BatchSizeWarmup(share, start)


@settings(max_examples=80, deadline=None)
@given(
    steps=st.integers(2, 60),
    middle=st.floats(0.1, 0.9),
    share=st.floats(0, 0.95),
    start=st.sampled_from([0.05, 0.25, 0.3, 0.5, 1.0]),
    micro=st.integers(1, 3),
)
def test_every_micro_batch_continues_where_the_one_before_it_ends(
    steps: int, middle: float, share: float, start: float, micro: int
) -> None:
    ends = [max(1, min(steps - 1, round(middle * steps))), steps]
    ramp = BatchSizeWarmup(share, start)
    plan = plan_batches([32, 128], ends, micro, 512, ramp)
    seen, next_row = 0, {0: 0, 1: 0}
    for step in range(steps):
        assert plan.positions_before(step) == seen
        stage = 0 if step < ends[0] else 1
        context = (32, 128)[stage]
        wanted = [size for first, size in ramp.stairs(steps) if first <= step][-1]
        for index in range(step * micro, (step + 1) * micro):
            assert plan.locate(index) == (stage, next_row[stage], max(1, round(wanted * 512 / context)))
            rows = plan.locate(index)[2]
            next_row[stage] += rows
            seen += rows * context
    assert plan.positions_before(steps) == plan.positions_before(steps + 9) == seen
    assert [plan.rows_in(stage) for stage in (0, 1)] == list(next_row.values())


@settings(max_examples=60, deadline=None)
@given(
    positions=st.integers(20_000, 900_000),
    share=st.sampled_from([0.0, 0.03, 0.2, 0.6]),
    start=st.sampled_from([0.1, 0.25, 0.5]),
)
def test_a_ramp_adds_the_steps_that_keep_the_number_of_positions(positions: int, share: float, start: float) -> None:
    stages, ramp = [Stage(64, share=0.8), Stage(256, share=0.2)], BatchSizeWarmup(share, start)

    def read_in(steps: int) -> int:
        ends = [round(0.8 * steps), steps]
        return plan_batches([64, 256], ends, 2, 1024, ramp).positions_before(steps)

    steps = steps_for_positions(positions, stages, 2, 1024, ramp)
    assert positions <= read_in(steps) < positions + 2 * 1024
    assert read_in(steps - 1) < positions
    assert steps == -(-positions // 2048) if share == 0 else steps >= -(-positions // 2048)

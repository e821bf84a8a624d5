import math
import os
import signal

import pytest
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from chinese_modernbert.trainers.pretraining.callbacks import StopOnSignal
from chinese_modernbert.trainers.pretraining.guards import (
    MINIMUM_STEPS,
    WINDOW_STEPS,
    BatchGuard,
    StepGuard,
    StepLosses,
)
from chinese_modernbert.trainers.pretraining.log import LogWindow


def judged(guard: BatchGuard, *losses: float) -> list[str | None]:
    return [guard.judge(loss, 1.0) for loss in losses]


def test_a_loss_or_a_norm_that_is_not_finite_is_bad_from_the_first_step() -> None:
    guard = BatchGuard()
    assert judged(guard, math.nan, math.inf) == ["the loss became nan", "the loss became inf"]
    assert guard.judge(3.0, math.nan) == "the gradient norm became nan"
    assert guard.judge(3.0, None) is None
    assert guard.losses == [3.0]


def test_a_jump_is_measured_against_the_median_of_the_last_hundred_good_losses() -> None:
    guard = BatchGuard(spike_factor=2.0)
    assert judged(guard, *[9.0] * (MINIMUM_STEPS - 1), 90.0) == [None] * MINIMUM_STEPS  # too early to judge
    assert guard.judge(18.1, 1.0) == "the loss rose to 18.1, over 2 times the median 9"
    assert judged(guard, *[1.0] * WINDOW_STEPS) == [None] * WINDOW_STEPS
    assert guard.losses == [1.0] * WINDOW_STEPS
    assert guard.judge(2.0, 1.0) is None
    assert guard.judge(2.1, 1.0) is not None


def test_without_a_factor_no_finite_loss_is_bad() -> None:
    assert judged(BatchGuard(), *[1.0] * 50, 1e30) == [None] * 51


def test_a_restored_guard_judges_as_the_first_one() -> None:
    first = BatchGuard("skip", spike_factor=2.0)
    judged(first, *[1 / 3 + 0.01 * step for step in range(40)])
    first.skipped = 3
    second = BatchGuard("skip", spike_factor=2.0)
    second.restore(first.state())
    assert (second.losses, second.skipped) == (first.losses, 3)
    assert second.may_skip
    assert not BatchGuard("skip", max_skipped=0).may_skip
    assert not BatchGuard("stop").may_skip


def test_the_worst_micro_batch_of_a_step_is_the_one_that_is_not_a_number() -> None:
    losses = StepLosses()
    for number, loss in ((10, 5.0), (12, math.nan), (14, 7.0)):
        losses.add(number, torch.tensor(loss))
    total, worst, index, norm = losses.summary(torch.tensor(0.5), torch.device("cpu"))[0].tolist()
    assert math.isnan(total)
    assert worst > 1e30
    assert losses.numbers[int(index)] == 12
    assert norm == 0.5
    losses = StepLosses()
    losses.add(20, torch.tensor(2.5))
    assert losses.summary(None, torch.device("cpu")).tolist() == [[2.5, 2.5, 0.0, 0.0]]


def test_the_message_of_a_bad_step_names_its_first_documents_and_the_log_all() -> None:
    records, documents = [], [f"shard-00000:{number}" for number in range(9)]
    guard = StepGuard(BatchGuard(), lambda number: documents, lambda state, record: records.append(record))
    with pytest.raises(ValueError, match=r"became nan at step 4 in micro-batch 7, documents .*:7 \.\.\.; the last"):
        guard.handle("the loss became nan", 7, TrainerState(global_step=4), pytest.fail)
    assert records == [
        {"step": 5, "bad_step": "the loss became nan", "action": "stopped", "micro_batch": 7, "documents": documents}
    ]


def test_a_skipped_step_leaves_no_trace_in_the_mean_of_a_window() -> None:
    window, loss_sum = LogWindow(), torch.tensor(0.0)
    for loss in (2.0, math.nan, 4.0):
        window.begin_step(loss_sum)
        loss_sum += loss
        window.add("z_loss", torch.tensor(0.1 * loss))
        if math.isnan(loss):
            window.take_back_step(loss_sum)
    logs = {"loss": float(loss_sum) / 3}  # what the Trainer divides by
    window.correct(logs, mean=lambda part: part)
    assert logs == pytest.approx({"loss": 3.0, "z_loss": 0.3})
    window.begin_step(loss_sum)
    window.take_back_step(loss_sum)
    only_skipped = {"loss": 0.0}
    window.correct(only_skipped, mean=lambda part: part)
    assert only_skipped == {}


def test_the_first_signal_is_kept_for_the_end_of_the_step_and_the_second_does_what_it_did_before(
    tmp_path: object,
) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: received.append(number))
    try:
        args, state, control = TrainingArguments(str(tmp_path), use_cpu=True), TrainerState(), TrainerControl()
        callback = StopOnSignal()
        callback.on_train_begin(args, state, control)
        callback.on_step_end(args, state, control)
        assert not control.should_training_stop
        os.kill(os.getpid(), signal.SIGUSR1)
        assert callback.received is None
        assert received == []
        os.kill(os.getpid(), signal.SIGUSR1)
        assert received == [signal.SIGUSR1]
        callback.on_step_end(args, state, control)
        assert callback.received == "SIGUSR1"
        assert control.should_save
        assert control.should_training_stop
    finally:
        signal.signal(signal.SIGUSR1, before)

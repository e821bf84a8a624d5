import json
from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from chinese_modernbert.trainers.pretraining.log import LOG_FILE, TrainingLogCallback, read_training_log


def at_step(step: int) -> TrainerState:
    return TrainerState(global_step=step, is_world_process_zero=True)


@pytest.fixture
def arguments(tmp_path: Path) -> TrainingArguments:
    return TrainingArguments(output_dir=str(tmp_path), use_cpu=True)


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path: Path, arguments: TrainingArguments) -> None:
    callback, control = TrainingLogCallback(tmp_path / LOG_FILE), TrainerControl()
    callback.on_train_begin(arguments, at_step(0), control)
    for step in (1, 2, 3, 4):
        callback.on_log(arguments, at_step(step), control, logs={"loss": float(step)})
    callback.on_train_begin(arguments, at_step(2), control)
    callback.on_log(arguments, at_step(3), control, logs={"loss": 30.0})
    assert [(r["step"], r["loss"]) for r in read_training_log(tmp_path)] == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_a_new_run_starts_an_empty_log(tmp_path: Path, arguments: TrainingArguments) -> None:
    (tmp_path / LOG_FILE).write_text('{"step": 1}\n')
    TrainingLogCallback(tmp_path / LOG_FILE).on_train_begin(arguments, at_step(0), TrainerControl())
    assert read_training_log(tmp_path) == []


def test_other_processes_write_nothing(tmp_path: Path, arguments: TrainingArguments) -> None:
    state = TrainerState(global_step=1, is_world_process_zero=False)
    callback = TrainingLogCallback(tmp_path / LOG_FILE)
    callback.on_train_begin(arguments, state, TrainerControl())
    callback.on_log(arguments, state, TrainerControl(), logs={"loss": 1.0})
    assert not (tmp_path / LOG_FILE).exists()


def test_a_last_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE).write_text(json.dumps({"step": 1}) + '\n{"step": 2, "lo')
    assert read_training_log(tmp_path) == [{"step": 1}]


def test_a_broken_line_in_the_middle_is_an_error_with_its_number(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE).write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(ValueError, match=f"{LOG_FILE}:2"):
        read_training_log(tmp_path)


@pytest.mark.parametrize("line", ['{"loss": 1.0}', "[]", '{"step": "one"}', '{"step": null}', "3"])
def test_a_line_without_a_step_is_an_error_with_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / LOG_FILE).write_text(f'{{"step": 1}}\n{line}\n')
    with pytest.raises(ValueError, match=rf"{LOG_FILE}:2.* (is|has no field 'step')"):
        read_training_log(tmp_path)

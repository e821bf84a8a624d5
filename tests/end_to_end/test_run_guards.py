"""What a run survives: bad batches, signals, damaged checkpoints, a full disk; each with what it leaves behind."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from chinese_modernbert.runtime.process_end import EXIT_CODES
from chinese_modernbert.trainers.pretraining import checkpoints
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from chinese_modernbert.trainers.pretraining.averages import AVERAGED_WEIGHTS
from chinese_modernbert.trainers.pretraining.callbacks import EXIT_TO_RESUME
from chinese_modernbert.trainers.pretraining.checkpoints import SEAL, WRITING, find_damage, last_checkpoint
from chinese_modernbert.trainers.pretraining.guards import MINIMUM_STEPS
from chinese_modernbert.trainers.pretraining.log import read_training_log
from chinese_modernbert.trainers.pretraining.run import build_trainer, check_pretraining, run_pretraining
from chinese_modernbert.trainers.pretraining.trainer import PretrainingTrainer
from chinese_modernbert.trainers.zero_mean_residual import ZeroMeanResidualCallback
from reference.pretraining_run import (
    Run,
    assert_same_weights,
    needs_muon,
    run_until,
    settings,
    start,
    training_lines,
    weights,
)
from reference.processes import PATIENCE_SECONDS, held_at, wait_until

Poison = Callable[[int, torch.Tensor], torch.Tensor]
LONG = {"max_steps": 32, "save_steps": 6, "on_bad_batch": "skip", "spike_factor": 3.0}


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, float]], None]:
    """Return what makes the losses of chosen steps that many times as large, gradients included."""
    sound = PretrainingTrainer.compute_loss

    def poison(factors: dict[int, float]) -> None:
        def compute_loss(self: PretrainingTrainer, *args: Any, **kwargs: Any) -> Any:
            return sound(self, *args, **kwargs) * factors.get(self.state.global_step, 1.0)

        monkeypatch.setattr(PretrainingTrainer, "compute_loss", compute_loss)

    return poison


def test_bad_steps_are_skipped_alike_in_a_straight_and_in_a_resumed_run(
    make_run: Run, poisoned: Callable[[dict[int, float]], None]
) -> None:
    # The first jump comes too early to be judged; step 25 is bad only against the median of the steps before.
    poisoned({3: 50.0, 22: float("nan"), 25: 4.0, 26: float("inf"), 30: 2.0})
    straight = make_run("straight", **LONG)
    expected = run_pretraining(straight)
    for stop in (20, 25):
        run_until(stop, make_run("broken", **LONG, resume="auto"))
    again = make_run("broken", **LONG, resume="auto")
    assert_same_weights(expected, run_pretraining(again))
    lines = training_lines(again.output_dir)
    assert lines == training_lines(straight.output_dir)
    records = read_training_log(str(again.output_dir))
    assert [record["step"] for record in records if "bad_step" in record] == [23, 26, 27]
    assert all(record["documents"] for record in records if "bad_step" in record)
    assert [record["skipped_steps"] for record in records if "skipped_steps" in record][-1] == 3
    assert all(record.get("loss", 0.0) < 1000 for record in records)


@pytest.mark.parametrize("optimizer", ["stable_adamw", "adamw", pytest.param("muon", marks=needs_muon)])
def test_a_skipped_step_changes_neither_weights_nor_moments(
    make_run: Run, poisoned: Callable[[dict[int, float]], None], optimizer: str
) -> None:
    poisoned({5: float("nan")})
    arguments = make_run(
        on_bad_batch="skip", max_steps=8, save_steps=1, save_total_limit=8, optimizer=optimizer, ema_decay=0.5
    )
    run_pretraining(arguments)
    output = Path(str(arguments.output_dir))
    assert_same_weights(output / "checkpoint-5", output / "checkpoint-6")
    before, after = (torch.load(output / f"checkpoint-{step}" / "optimizer.pt", weights_only=True) for step in (5, 6))
    averages = [load_file(output / f"checkpoint-{step}" / AVERAGED_WEIGHTS) for step in (5, 6, 7)]
    assert all(torch.equal(value, averages[1][name]) for name, value in averages[0].items())
    assert not torch.equal(*(average["model.final_norm.weight"] for average in averages[1:]))
    assert before["state"]
    for number, state in before["state"].items():
        assert all(torch.equal(state[name], after["state"][number][name]) for name in state)
    assert not torch.equal(*(weights(output / f"checkpoint-{s}")["model.final_norm.weight"] for s in (6, 7)))


def test_a_mean_over_a_window_leaves_the_skipped_step_out(
    make_run: Run, poisoned: Callable[[dict[int, float]], None]
) -> None:
    poisoned({5: float("nan")})
    single = make_run("single", on_bad_batch="skip")
    window = make_run("window", on_bad_batch="skip", logging_steps=4)
    for arguments in (single, window):
        run_pretraining(arguments)
    losses = {line["step"]: line["loss"] for line in read_training_log(str(single.output_dir)) if "loss" in line}
    assert sorted(losses) == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    means = [line["loss"] for line in read_training_log(str(window.output_dir)) if "loss" in line]
    assert means[1] == pytest.approx((losses[5] + losses[7] + losses[8]) / 3)
    assert means[2] == pytest.approx(sum(losses[step] for step in (9, 10, 11, 12)) / 4)


def test_more_skips_than_allowed_end_the_run(make_run: Run, poisoned: Callable[[dict[int, float]], None]) -> None:
    poisoned(dict.fromkeys(range(5, 9), float("nan")))
    with pytest.raises(ValueError, match=r"at step 7 .*; 2 steps were skipped before; .*on_bad_batch skip"):
        run_pretraining(make_run(on_bad_batch="skip", max_skipped=2))


def test_a_jump_of_the_loss_saves_the_state_before_it_and_stops(
    make_run: Run, poisoned: Callable[[dict[int, float]], None]
) -> None:
    at = MINIMUM_STEPS + 2
    poisoned({at: 10.0})
    changes: dict[str, Any] = {"max_steps": 32, "save_steps": 16, "spike_factor": 3.0}
    arguments = make_run("jump", **changes)
    with pytest.raises(ValueError, match=rf"the loss rose to .*, over 3 times the median .* at step {at} in micro-b"):
        run_pretraining(arguments)
    kept = last_checkpoint(Path(str(arguments.output_dir)))
    assert kept is not None
    assert kept.name == f"checkpoint-{at}"
    poisoned({})
    straight = run_pretraining(make_run("straight", **changes))
    assert_same_weights(straight, run_pretraining(make_run("jump", **changes, resume="auto")))


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 2), (signal.SIGUSR1, 0)])
def test_a_signal_of_the_scheduler_saves_the_running_step_and_asks_for_a_restart(
    data: Path, tmp_path: Path, make_run: Run, number: signal.Signals, workers: int
) -> None:
    changes = {"save_steps": 1000, "dataloader_num_workers": workers, "gradient_accumulation_steps": 2}
    codes = {EXIT_CODES: str(tmp_path / "codes")}
    process = start({**settings(data, tmp_path / "run"), **changes}, tmp_path, {**held_at(5), **codes})
    log = tmp_path / "run" / "training_log.jsonl"
    wait_until(lambda: log.exists() and log.read_text().count('"loss"') >= 4, process)
    os.killpg(process.pid, number)  # as a scheduler does: the whole job, workers of the data loader included
    said = process.communicate(timeout=PATIENCE_SECONDS)[1]
    assert process.returncode == EXIT_TO_RESUME == 75, said
    assert (tmp_path / "codes").read_text() == "75\n"
    assert f"stopped by {number.name} with a checkpoint" in said
    kept = last_checkpoint(tmp_path / "run")
    assert kept is not None
    assert kept.name == "checkpoint-5"
    assert not (tmp_path / "run" / "final").exists()
    final = run_pretraining(make_run("run", **changes, resume="auto"))
    assert_same_weights(run_pretraining(make_run("straight", **changes)), final)


def test_a_finished_run_goes_through_a_resume_unchanged(make_run: Run) -> None:
    first = run_pretraining(make_run())
    kept = shutil.copytree(first, first.with_name("kept"))
    (first / "config.json").unlink()  # it must be written anew
    assert_same_weights(kept, run_pretraining(make_run(resume="auto")))


def whole(output: Path) -> list[str]:
    return sorted(path.name for path in output.glob("checkpoint-*") if find_damage(path, check_hashes=True) is None)


@pytest.fixture
def ruined(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, float], None]:
    """Return what gives the decoder's bias a value when a step has updated it, as a rate too large does."""
    sound = ZeroMeanResidualCallback.on_optimizer_step

    def ruin(step: int, value: float) -> None:
        def on_optimizer_step(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            sound(self, args, state, control, **kwargs)
            if state.global_step == step:
                kwargs["model"].decoder.bias.data.fill_(value)

        monkeypatch.setattr(ZeroMeanResidualCallback, "on_optimizer_step", on_optimizer_step)

    return ruin


@pytest.mark.parametrize("action", ["stop", "skip"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_weights_that_a_step_has_ruined_are_not_saved_and_push_no_checkpoint_out(
    make_run: Run, ruined: Callable[[int, float], None], action: str, value: float
) -> None:
    ruined(5, value)
    arguments = make_run(save_steps=2, save_total_limit=2, on_bad_batch=action)
    with pytest.raises(ValueError, match=r"after step 6, so they are not saved; start .* from .*checkpoint-4 ") as said:
        run_pretraining(arguments)
    assert "\n" not in str(said.value)
    assert whole(Path(str(arguments.output_dir))) == ["checkpoint-2", "checkpoint-4"]
    assert not (Path(str(arguments.output_dir)) / "final").exists()


def test_weights_that_are_finite_and_give_no_finite_loss_are_not_saved(
    make_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = make_run(save_steps=2)
    sound = PretrainingTrainer._loss_of_sample

    def loss(self: PretrainingTrainer) -> Any:
        return torch.tensor(float("inf")) if self.state.global_step >= 4 else sound(self)

    monkeypatch.setattr(PretrainingTrainer, "_loss_of_sample", loss)
    with pytest.raises(ValueError, match="the weights give a loss of inf after step 4, so they are not saved"):
        run_pretraining(arguments)
    assert whole(Path(str(arguments.output_dir))) == ["checkpoint-2"]


@pytest.mark.parametrize("what", ["the optimizer's moments", "the averaged weights"])
def test_moments_and_averages_that_are_not_finite_are_not_saved(make_run: Run, what: str) -> None:
    arguments = make_run(ema_decay=0.5)
    trainer = build_trainer(arguments, check_pretraining(arguments))

    class Spoil(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            moments = next(iter(kwargs["optimizer"].state.values())).values()
            assert trainer.averages is not None
            held = trainer.averages.of(kwargs["model"]).values() if what == "the averaged weights" else moments
            if state.global_step == 4:
                next(value for value in held if value.ndim).fill_(float("nan"))

    trainer.add_callback(Spoil())
    with pytest.raises(ValueError, match=rf"^{what} hold values that are not finite \(.*\) after step 4, so they are"):
        trainer.train()
    trainer.stop_on_signal.stop_listening()


@pytest.mark.parametrize("changes", [{}, {"on_bad_batch": "skip"}, {"ema_decay": 0.5}, {"objective": "retromae"}])
def test_a_run_whose_last_step_ruins_the_weights_has_no_final(make_run: Run, changes: dict[str, Any]) -> None:
    arguments = make_run(max_steps=2, warmup_steps=1, learning_rate=1e38, save_strategy="no", eval_data=None, **changes)
    with pytest.raises(ValueError, match="after step 2, so they are not saved; start again with a lower learning_rate"):
        run_pretraining(arguments)
    assert not (Path(str(arguments.output_dir)) / "final").exists()


def test_looking_at_the_weights_leaves_no_trace(make_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = run_pretraining(make_run("looked", save_steps=1))
    monkeypatch.setattr(PretrainingTrainer, "_loss_of_sample", lambda self: None)
    assert_same_weights(looked, run_pretraining(make_run("unlooked", save_steps=1)))
    assert training_lines(str(looked.parent)) == training_lines(str(looked.parents[1] / "unlooked"))


def test_masking_that_masks_nothing_is_refused(make_run: Run) -> None:
    with pytest.raises(ValueError, match=r"masking_options=.* mask nothing in the whole run; give a rate above 0"):
        run_pretraining(make_run(masking_options={"low": 0.0, "high": 0.0}))
    with pytest.raises(RuntimeError, match="units was masked, so nothing was learned"):
        run_pretraining(make_run("tiny", masking="forty_percent", masking_options={"rate": 1e-9}))


@pytest.mark.parametrize("warmup", [0.05, 0, 0.9])
def test_a_run_of_one_step_trains(make_run: Run, warmup: float) -> None:
    stages = [{"context_length": 64, "share": 1.0}]
    final = run_pretraining(make_run(max_steps=1, stages=stages, warmup_steps=warmup, z_loss=1e-4, logging_steps=10))
    (line,) = (line for line in read_training_log(final.parent) if "loss" in line)
    assert line["positions_seen"] == 256  # the last step is logged, whatever logging_steps is
    assert 0 <= line["token_accuracy"] <= 1
    assert line["learning_rate"] == 5e-3
    assert line["mask_rate"] > 0


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: cut(folder / "model.safetensors"), "model.safetensors has"),
        (lambda folder: cut(folder / "optimizer.pt"), "optimizer.pt has"),
        (lambda folder: flip(folder / "model.safetensors"), "model.safetensors has changed"),
        (lambda folder: (folder / "rng_state.pth").unlink(), "rng_state.pth is missing"),
        (lambda folder: (folder / SEAL).unlink(), "its writing was cut off"),
        (lambda folder: cut(folder / SEAL), f"{SEAL} cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    finished: Path, make_run: Run, tmp_path: Path, damage: Callable[[Path], None], message: str, caplog: Any
) -> None:
    subprocess.run(["cp", "-r", str(finished), str(tmp_path / "run")], check=True)
    broken = tmp_path / "run" / "checkpoint-12"
    damage(broken)
    with pytest.raises(FileNotFoundError, match=message) as caught:
        check_pretraining(make_run(resume=str(broken)))
    assert "\n" not in str(caught.value)
    setup = check_pretraining(make_run(resume="auto"))
    assert setup.resume_from == tmp_path / "run" / "checkpoint-8"
    assert message in caplog.text


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run, to be copied."""
    from chinese_modernbert.runtime.options import load_recipe

    output = tmp_path_factory.mktemp("finished") / "run"
    run_pretraining(load_recipe([PretrainingArguments], None, settings(data, output))[0])
    return output


def test_where_every_checkpoint_is_damaged_nothing_is_deleted(finished: Path, make_run: Run, tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", str(finished), str(tmp_path / "run")], check=True)
    for folder in (tmp_path / "run").glob("checkpoint-*"):
        cut(folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"none of the 3 checkpoints .* is whole .*--overwrite"):
        run_pretraining(make_run(resume="auto"))
    assert len(list((tmp_path / "run").glob("checkpoint-*"))) == 3


def test_a_damaged_checkpoint_is_written_anew_and_counts_for_nothing(
    finished: Path, make_run: Run, tmp_path: Path
) -> None:
    subprocess.run(["cp", "-r", str(finished), str(tmp_path / "run")], check=True)
    for step in (8, 12):
        cut(tmp_path / "run" / f"checkpoint-{step}" / "model.safetensors")
    final = run_pretraining(make_run(resume="auto", save_total_limit=1))
    assert_same_weights(finished / "final", final)
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-12"]
    assert find_damage(tmp_path / "run" / "checkpoint-12", check_hashes=True) is None


def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint_whole(
    make_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, calls = checkpoints.file_sha256, []

    def full(path: Path) -> str:
        calls.append(path)
        if "checkpoint-8" in str(path) and path.name == "optimizer.pt":
            raise OSError(errno.ENOSPC, "No space left on device")
        return sound(path)

    monkeypatch.setattr(checkpoints, "file_sha256", full)
    arguments = make_run(save_total_limit=1)
    with pytest.raises(
        OSError, match=r"checkpoint-8 could not be written .*No space.*checkpoint-4 is whole: make room"
    ):
        run_pretraining(arguments)
    output = Path(str(arguments.output_dir))
    assert [path.name for path in output.glob("checkpoint-*")] == ["checkpoint-4"]
    assert not (output / WRITING).exists()
    monkeypatch.undo()
    final = run_pretraining(make_run(save_total_limit=1, resume="auto"))
    assert_same_weights(run_pretraining(make_run("straight")), final)


def test_a_disk_that_is_really_full_is_one_line(small_disk: Path, make_run: Run) -> None:
    with pytest.raises(OSError, match=r"checkpoint-\d+ could not be written .*--resume auto") as caught:
        run_pretraining(make_run(output_dir=str(small_disk / "run"), save_steps=1, max_steps=40, save_total_limit=40))
    assert "\n" not in str(caught.value)
    kept = last_checkpoint(small_disk / "run")
    assert kept is not None
    assert find_damage(kept, check_hashes=True) is None


def test_another_number_of_micro_batches_a_step_says_what_it_is_made_of(finished: Path, make_run: Run) -> None:
    with pytest.raises(
        ValueError, match=r"micro_batches_per_step was 1, is 2; .*gradient_accumulation_steps times pro"
    ):
        check_pretraining(make_run(resume=str(finished / "checkpoint-8"), gradient_accumulation_steps=2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"on_bad_batch": "ignore"}, "on_bad_batch='ignore' is not known; choose one of stop, skip"),
        ({"spike_factor": 0.5}, r"spike_factor=0.5 is not a number in \(1, inf\); give one"),
        ({"max_skipped": -1}, "max_skipped=-1 is not a number in"),
        ({"learning_rate": float("nan")}, r"learning_rate=nan is not a number in \(0, inf\); give one"),
        ({"learning_rate": float("inf")}, "learning_rate=inf is not a number in"),
        ({"tokens_per_micro_batch": 0}, "tokens_per_micro_batch=0 is not a number in"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps=0 is not a number in"),
        ({"lr_decay_share": 1.5}, "lr_decay_share=1.5 is not a number in"),
        ({"eval_mask_rate": 0.0}, "eval_mask_rate=0.0 is not a number in"),
        ({"save_total_limit": 0}, "save_total_limit=0 is not a number in"),
        ({"lr_floor": 0.9}, r"floor=0.9 .* is outside \[0, 0.5\]"),
        ({"warmup_steps": 12}, "warmup_steps=12 does not leave a step of max_steps=12"),
        ({"tokens_per_micro_batch": 100}, "tokens_per_micro_batch=100 is not a multiple of the context_length=64"),
        ({"stages": [{"context_length": 64, "steps": 3, "local_rope_theta": 0}]}, "local_rope_theta=0.0 of a stage"),
        ({"z_loss": -1.0}, "z_loss=-1.0 is not a number in"),
        ({"load_best_model_at_end": True, "eval_strategy": "steps"}, "load_best_model_at_end"),
    ],
)
def test_settings_of_the_guard_are_checked_before_any_work(
    make_run: Run, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        check_pretraining(make_run(save_steps=500, eval_steps=500, **changes))
    assert "\n" not in str(caught.value)

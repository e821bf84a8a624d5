"""A pre-training run from text to checkpoint: learns, resumes bit for bit, accumulates rightly, fails in one line."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, TrainerCallback

from chinese_modernbert.runtime.folder_lock import LOCK
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from chinese_modernbert.trainers.pretraining.checkpoints import last_checkpoint, seal
from chinese_modernbert.trainers.pretraining.identity import IDENTITY
from chinese_modernbert.trainers.pretraining.log import read_training_log
from chinese_modernbert.trainers.pretraining.run import build_trainer, check_pretraining, run_pretraining
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
from reference.processes import held_at, wait_until


def test_a_run_learns_and_leaves_a_checkpoint_that_loads(make_run: Run) -> None:
    arguments = make_run(max_steps=240, save_steps=240, warmup_steps=12, eval_strategy="steps", eval_steps=120)
    final = run_pretraining(arguments)
    lines = read_training_log(str(arguments.output_dir))
    losses = [line["loss"] for line in lines if "loss" in line]
    evaluations = [line for line in lines if "eval_loss" in line]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert [line["step"] for line in evaluations] == [120, 240]
    last = evaluations[-1]
    assert last["eval_loss"] < last["eval_unigram_loss"]
    assert last["eval_token_accuracy"] > last["eval_unigram_token_accuracy"]
    assert 0 < last["eval_word_accuracy"] <= 1
    assert last["eval_token_accuracy/eval"] == last["eval_token_accuracy"]
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(final), AutoTokenizer.from_pretrained(final)
    assert model.config.rope_parameters["full_attention"]["rope_theta"] == 160_000
    assert model(**tokenizer("老虎是一种动物。", return_tensors="pt")).logits.isfinite().all()
    assert not list(final.glob("*.bin"))
    assert {"recipe.yaml", "pretraining.json", "run_record.json", "tokenizer.json"} <= {
        path.name for path in final.iterdir()
    }
    assert str(arguments.output_dir) not in (final / "recipe.yaml").read_text()


def test_the_realized_rate_and_the_learning_rate_follow_one_clock(make_run: Run) -> None:
    arguments = make_run()
    run_pretraining(arguments)
    lines = training_lines(arguments.output_dir)
    rates = [0.15, 0.225, *(0.30 - 0.15 * i / 10 for i in range(10))]
    assert [line["mask_rate_target"] for line in lines] == pytest.approx(rates, abs=1e-4)
    assert [line["learning_rate"] for line in lines][:3] == pytest.approx([0.0, 2.5e-3, 5e-3])
    assert all(abs(line["mask_rate"] - line["mask_rate_target"]) < 0.03 for line in lines)


@pytest.mark.parametrize(
    ("stop", "options"),
    [
        (5, {}),
        (9, {"gradient_accumulation_steps": 2, "optimizer": "adamw", "weight_decay_embeddings": 0.1}),
        pytest.param(9, {"optimizer": "muon", "muon_learning_rate": 1e-2, "ema_decay": 0.9}, marks=needs_muon),
    ],
    ids=str,
)
def test_a_resumed_run_equals_a_straight_one_bit_for_bit(make_run: Run, stop: int, options: dict[str, Any]) -> None:
    straight = make_run("straight", **options)
    expected = run_pretraining(straight)
    broken = make_run("broken", **options)
    run_until(stop, broken)
    again = make_run("broken", **options, resume="auto")
    final = run_pretraining(again)
    assert_same_weights(expected, final)
    if "ema_decay" in options:
        assert_same_weights(expected.with_name("final_averaged"), final.with_name("final_averaged"))
    assert training_lines(again.output_dir) == training_lines(straight.output_dir)


def test_a_decay_begins_at_a_checkpoint_of_another_run_with_its_moments(make_run: Run) -> None:
    stable = {"lr_schedule": "warmup_stable_decay", "lr_floor": 0.0}
    run = make_run("stable", **stable)
    run_until(9, run)
    checkpoint = Path(str(run.output_dir)) / "checkpoint-8"
    branch = {
        **stable,
        "model": str(checkpoint),
        "model_overrides": None,
        "take_optimizer": True,
        "lr_decay_share": 1.0,
    }
    branch |= {"warmup_steps": 0, "data_seed": 9}
    expected = run_pretraining(make_run("decay", **branch))
    moments = torch.load(expected.with_name("checkpoint-12") / "optimizer.pt", weights_only=True)["state"]
    assert {int(state["step"]) for state in moments.values()} == {8 + 12}
    rates = [line["learning_rate"] for line in training_lines(str(expected.parent))]
    assert rates[0] == 5e-3 and all(later < earlier for earlier, later in zip(rates, rates[1:], strict=False))
    run_until(5, make_run("broken", **branch))
    assert_same_weights(expected, run_pretraining(make_run("broken", **branch, resume="auto")))
    for changes, message in (
        ({"model": "tiny"}, "goes on from a checkpoint, but model='tiny' is a new one"),
        ({"model": str(expected)}, r"holds no optimizer\.pt"),
        ({"objective": "retromae"}, "take_optimizer: true is for objective: mlm"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            check_pretraining(make_run("refused", **{**branch, **changes}))


def test_a_run_killed_in_the_middle_continues_bit_for_bit(make_run: Run, data: Path, tmp_path: Path) -> None:
    expected = run_pretraining(make_run("straight"))
    process = start(settings(data, tmp_path / "killed"), tmp_path, held_at(7))
    log = tmp_path / "killed" / "training_log.jsonl"
    wait_until(lambda: log.exists() and log.read_text().count("\n") >= 6, process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert last_checkpoint(tmp_path / "killed") is not None
    final = run_pretraining(make_run("killed", resume="auto"))
    assert_same_weights(expected, final)


def test_accumulating_four_micro_batches_equals_one_large_batch(make_run: Run) -> None:
    small = make_run("small", tokens_per_micro_batch=256, gradient_accumulation_steps=4, model_overrides=PLAIN)
    large = make_run("large", tokens_per_micro_batch=1024, gradient_accumulation_steps=1, model_overrides=PLAIN)
    for arguments in (small, large):
        run_pretraining(arguments)
    pairs = zip(training_lines(small.output_dir), training_lines(large.output_dir), strict=True)
    for one, other in pairs:
        assert one == pytest.approx(other, rel=2e-3)


PLAIN = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96}


def test_a_checkpoint_cut_off_while_written_is_passed_by(make_run: Run) -> None:
    arguments = make_run()
    run_pretraining(arguments)
    output = Path(str(arguments.output_dir))
    assert last_checkpoint(output) == output / "checkpoint-12"
    (output / "checkpoint-12" / "trainer_state.json").write_text('{"global_st')
    assert last_checkpoint(output) == output / "checkpoint-8"


def test_a_loss_that_is_not_a_number_stops_the_run_and_names_step_and_documents(make_run: Run) -> None:
    arguments = make_run()
    trainer = build_trainer(arguments, check_pretraining(arguments))

    class Poison(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 6:
                with torch.no_grad():
                    kwargs["model"].decoder.bias.fill_(float("nan"))

    trainer.add_callback(Poison())
    with pytest.raises(ValueError, match=r"loss became nan at step 6 in micro-batch 6, documents shard-00000:\d+"):
        trainer.train()
    kept = last_checkpoint(Path(str(arguments.output_dir)))
    assert kept is not None
    assert kept.name == "checkpoint-4"
    assert all(tensor.isfinite().all() for tensor in weights(kept).values())


def test_evaluation_does_not_depend_on_the_size_of_its_batches_or_on_training_masks(make_run: Run) -> None:
    metrics = []
    for changes in ({}, {"tokens_per_micro_batch": 512, "masking_options": {"high": 0.5}, "seed": 3, "data_seed": 9}):
        arguments = make_run(**changes)
        torch.manual_seed(0)
        trainer = build_trainer(arguments, check_pretraining(arguments))
        metrics.append({name: value for name, value in trainer.evaluate().items() if "runtime" not in name})
    assert metrics[0] == pytest.approx(metrics[1], rel=1e-5)


def test_the_second_stage_may_start_from_an_earlier_checkpoint(make_run: Run) -> None:
    final = run_pretraining(make_run("first"))
    later = make_run("second", model=str(final), model_overrides=None, learning_rate=1e-9)
    again = run_pretraining(later)
    before, after = weights(final), weights(again)
    assert all(torch.allclose(before[name], after[name], atol=1e-3) for name in before)


def test_the_average_is_the_one_of_the_checkpoints_and_is_evaluated_where_asked(make_run: Run) -> None:
    steps = {"save_steps": 1, "save_total_limit": None, "max_steps": 6}
    arguments = make_run("averaged", ema_decay=0.9, ema_evaluation=True, **steps)
    final = run_pretraining(arguments)
    expected: dict[str, torch.Tensor] = {}
    for step in range(6):
        kept = 0.0 if step == 0 else min(0.9, (1 + step) / (10 + step))
        for name, weight in weights(final.parent / f"checkpoint-{step + 1}").items():
            expected[name] = kept * expected.get(name, torch.zeros(())) + (1 - kept) * weight.double()
    averaged = weights(final.with_name("final_averaged"))
    assert averaged.keys() == expected.keys()
    for name, weight in averaged.items():
        torch.testing.assert_close(weight.double(), expected[name], rtol=1e-4, atol=1e-5)
    assert AutoModelForMaskedLM.from_pretrained(final.with_name("final_averaged")).residual_mean() < 1e-6
    plain = make_run("plain", **steps)
    assert_same_weights(run_pretraining(plain), final)
    losses = [evaluated(arguments), evaluated(plain)]
    assert losses[0] != losses[1]
    again = make_run("again", model=str(final.with_name("final_averaged")), model_overrides=None)
    trainer = build_trainer(again, check_pretraining(again))
    assert trainer.evaluate()["eval_loss"] == pytest.approx(losses[0], rel=1e-5)


def evaluated(arguments: PretrainingArguments) -> float:
    """Return the last loss of evaluation in a run's log."""
    return [line["eval_loss"] for line in read_training_log(str(arguments.output_dir)) if "eval_loss" in line][-1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ""}, "data is not given"),
        ({"model": "huge"}, "neither a size .* nor a checkpoint folder"),
        ({"stages": [{"context_length": 100, "share": 1.0}]}, "not a multiple of the context_length=100"),
        (
            {"stages": [{"context_length": 16384, "share": 1.0}], "tokens_per_micro_batch": 16384},
            "max_position_embeddings",
        ),
        ({"model_overrides": {"hidden_width": 8}}, "hidden_width"),
        ({"model_overrides": {"vocab_size": 999}}, "vocab"),
        ({"masking": "kidlm"}, "treats listed words in its own way; give words, or word_files"),
        ({"masking_options": {"hig": 0.4}}, "did you mean 'high'"),
        ({"ema_decay": 1.5}, "ema_decay=1.5 is not a number in"),
        ({"ema_evaluation": True}, "needs an average"),
        ({"eval_on_start": True, "eval_data": None}, "eval_on_start: true needs something to evaluate on"),
        ({"muon_learning_rate": 0.01}, "does nothing under optimizer='stable_adamw'"),
        ({"resume": "no/such/checkpoint"}, "not a complete checkpoint"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_one_line(make_run: Run, changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, OSError), match=message) as caught:
        arguments = make_run(**changes)
        build_trainer(arguments, check_pretraining(arguments))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_model_type_is_refused(make_run: Run, tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="model type 'bert', not 'chinese_modernbert'"):
        check_pretraining(make_run(model=str(tmp_path / "bert"), model_overrides=None))


def test_an_occupied_output_folder_is_kept_unless_told_otherwise(make_run: Run, tmp_path: Path) -> None:
    run_pretraining(make_run(max_steps=2, warmup_steps=0))
    with pytest.raises(FileExistsError, match="holds a run; add --resume auto"):
        run_pretraining(make_run(max_steps=2, warmup_steps=0))
    run_pretraining(make_run(max_steps=2, warmup_steps=0, overwrite=True))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds no run of ours"):
        run_pretraining(make_run("mine", overwrite=True))
    # A checkpoint that lies elsewhere gives no right to what another run, or anyone, has written.
    start = {"max_steps": 2, "warmup_steps": 0, "resume": str(tmp_path / "run" / "checkpoint-2")}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / IDENTITY).write_text('{"seed": 4}')
    for name, message in (("mine", "holds no run of ours"), ("other", "holds a run; add --resume auto")):
        with pytest.raises(FileExistsError, match=message):
            run_pretraining(make_run(name, **start))
    assert [path.name for path in (tmp_path / "mine").iterdir() if path.name != LOCK] == ["thesis.txt"]
    with pytest.raises(ValueError, match="overwrite would take .*checkpoint-2 away"):
        run_pretraining(make_run(**start, overwrite=True))


def test_resuming_under_other_settings_is_refused_with_their_names(make_run: Run) -> None:
    run_pretraining(make_run())
    with pytest.raises(ValueError, match="learning_rate was 0.005, is 0.001"):
        check_pretraining(make_run(learning_rate=1e-3, resume="auto"))


def test_the_record_of_an_older_run_is_read_under_todays_names_and_with_the_defaults_of_its_time(make_run: Run) -> None:
    changes: dict[str, Any] = {"max_steps": 8, "batch_size_warmup_share": 0.5}
    run_pretraining(make_run(**changes))
    checkpoint = Path(str(make_run().output_dir)) / "checkpoint-4"
    record = json.loads((checkpoint / "pretraining.json").read_text())
    record["batch_ramp_share"] = record.pop("batch_size_warmup_share")
    record["batch_ramp_start"] = record.pop("batch_size_warmup_start")
    del record["objective"], record["z_loss"]
    record["stages"] = [
        {name: stage[name] for name in ("context_length", "share", *THETA)} for stage in record["stages"]
    ]
    (checkpoint / "pretraining.json").write_text(json.dumps(record))
    seal(checkpoint)
    assert check_pretraining(make_run(**changes, resume=str(checkpoint))).resume_from == checkpoint
    with pytest.raises(ValueError, match=r"settings: z_loss was 0\.0, is 0\.0001$"):
        check_pretraining(make_run(**changes, z_loss=1e-4, resume=str(checkpoint)))
    with pytest.raises(ValueError, match=r"settings: batch_size_warmup_share was 0\.5, is 0\.25$"):
        check_pretraining(make_run(max_steps=8, batch_size_warmup_share=0.25, resume=str(checkpoint)))


THETA = ("global_rope_theta", "local_rope_theta")


def test_a_compiled_run_has_the_losses_of_the_plain_one(make_run: Run) -> None:
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler on the CPU, and g++ is not here")
    # Rows of one length: the graphs are made anew for another, which takes a minute.
    changes: dict[str, Any] = {
        "model_overrides": {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96},
        "stages": [{"context_length": 64, "share": 1.0}],
        "max_steps": 4,
    }
    losses = []
    for compiled in (False, True):
        arguments = make_run(f"compiled-{compiled}", torch_compile=compiled, **changes)
        run_pretraining(arguments)
        losses.append([line["loss"] for line in training_lines(arguments.output_dir)])
    assert losses[1] == pytest.approx(losses[0], abs=1e-3)


def test_metrics_reach_tensorboard(make_run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    event_file_loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    arguments = make_run(report_to=["tensorboard"], max_steps=2, warmup_steps=0)
    run_pretraining(arguments)
    files = [str(file) for file in (tmp_path / "events").rglob("events.out.tfevents.*")]
    events = [event for file in files for event in event_file_loader.EventFileLoader(file).Load()]
    tags = {value.tag for event in events for value in event.summary.value}
    assert {"train/loss", "train/mask_rate", "train/tokens_per_second", "train/packing_efficiency"} <= tags

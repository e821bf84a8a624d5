"""Runs under each objective: they learn, resume bit for bit, accumulate rightly, and leave nothing in a release."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from chinese_modernbert.hub_release.builder import ReleaseArguments, build_release
from chinese_modernbert.modeling import ChineseModernBertForMaskedLM
from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from chinese_modernbert.trainers.pretraining.checkpoints import seal
from chinese_modernbert.trainers.pretraining.log import read_training_log
from chinese_modernbert.trainers.pretraining.objectives.objective import OBJECTIVE_FILE
from chinese_modernbert.trainers.pretraining.run import build_trainer, check_pretraining, run_pretraining
from reference.pretraining_run import Run, assert_same_weights, run_until, settings, training_lines
from reference.torchrun import finish, start

OBJECTIVES = ("bag_of_words", "retromae", "mae_lm")
ALL_MASK = {"low": 0.3, "high": 0.3, "mix": [1.0, 0.0, 0.0]}


@pytest.fixture
def make_run(data: Path, tmp_path: Path) -> Run:
    """Return a maker of arguments for a run of two stages at 30 %, all [MASK]."""

    def make(name: str, objective: str, **changes: Any) -> PretrainingArguments:
        if objective == "bag_of_words":  # the texts of the tests have few different tokens
            changes = {"objective_options": {"stop_tokens": 10}, **changes}
        given = {**settings(data, tmp_path / name), "objective": objective, "masking_options": ALL_MASK, **changes}
        return load_recipe([PretrainingArguments], None, given)[0]

    return make


def tensor_names(file: Path) -> set[str]:
    with safe_open(file, framework="pt") as tensors:
        return set(tensors.keys())


def parts(output: str | None) -> list[dict[str, float]]:
    lines = [line for line in read_training_log(str(output)) if "loss" in line]
    return [{key: value for key, value in line.items() if key.startswith("loss")} for line in lines]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_run_learns_logs_each_part_and_leaves_nothing_of_its_own_in_the_release(
    make_run: Run, tmp_path: Path, objective: str
) -> None:
    arguments = make_run(
        "run", objective, max_steps=240, save_steps=240, warmup_steps=12, eval_strategy="steps", eval_steps=240
    )
    final = run_pretraining(arguments)
    lines = parts(arguments.output_dir)
    names = {"loss", "loss_mlm"} if objective == "mae_lm" else {"loss", "loss_mlm", f"loss_{objective}"}
    for name in names:
        assert sum(line[name] for line in lines[-5:]) < 0.9 * sum(line[name] for line in lines[:5])
    assert names == set(lines[0])
    evaluation = next(line for line in reversed(read_training_log(str(arguments.output_dir))) if "eval_loss" in line)
    assert evaluation["eval_loss"] < evaluation["eval_unigram_loss"]
    plain = {name for name in ChineseModernBertForMaskedLM.from_pretrained(final).state_dict() if name != TIED}
    assert tensor_names(final / "model.safetensors") == plain
    assert not (final / OBJECTIVE_FILE).exists()
    checkpoint = Path(str(arguments.output_dir)) / "checkpoint-240"
    assert (checkpoint / OBJECTIVE_FILE).exists() == (objective != "bag_of_words")
    assert tensor_names(checkpoint / "model.safetensors") == plain
    released = Path(build_release(ReleaseArguments(str(checkpoint), str(tmp_path / "release"))))
    assert tensor_names(released / "model.safetensors") == plain
    assert not (released / OBJECTIVE_FILE).exists()


TIED = "decoder.weight"


@pytest.mark.parametrize(("objective", "stop"), [("retromae", 5), ("mae_lm", 9), ("bag_of_words", 5)])
def test_a_resumed_run_equals_a_straight_one_bit_for_bit(make_run: Run, objective: str, stop: int) -> None:
    straight = make_run("straight", objective, gradient_accumulation_steps=2)
    expected = run_pretraining(straight)
    broken = make_run("broken", objective, gradient_accumulation_steps=2)
    run_until(stop, broken)
    again = make_run("broken", objective, gradient_accumulation_steps=2, resume="auto")
    final = run_pretraining(again)
    assert_same_weights(expected, final)
    assert training_lines(again.output_dir) == training_lines(straight.output_dir)
    assert parts(again.output_dir) == parts(straight.output_dir)
    left, right = (Path(str(run.output_dir)) / "checkpoint-12" / OBJECTIVE_FILE for run in (straight, again))
    assert left.exists() == right.exists() == (objective != "bag_of_words")
    assert not left.exists() or left.read_bytes() == right.read_bytes()


def test_a_checkpoint_without_the_objectives_tensors_is_refused(make_run: Run) -> None:
    arguments = make_run("run", "retromae")
    run_pretraining(arguments)
    (Path(str(arguments.output_dir)) / "checkpoint-12" / OBJECTIVE_FILE).unlink()
    seal(Path(str(arguments.output_dir)) / "checkpoint-12")
    with pytest.raises(ValueError, match="does not fit objective 'retromae'"):
        run_pretraining(make_run("run", "retromae", resume="auto"))


def test_a_run_of_another_objective_is_not_resumed(make_run: Run) -> None:
    run_pretraining(make_run("run", "bag_of_words"))
    with pytest.raises(ValueError, match="objective was 'bag_of_words', is 'mlm'"):
        check_pretraining(make_run("run", "mlm", resume="auto"))


def test_an_unknown_option_is_refused_before_the_output_folder_is_touched(make_run: Run) -> None:
    arguments = make_run("run", "retromae", objective_options={"rate": 0.5})
    with pytest.raises(ValueError, match="objective 'retromae' has no option 'rate'"):
        run_pretraining(arguments)
    assert not Path(str(arguments.output_dir)).exists()


def test_a_stop_list_that_empties_every_bag_is_refused(make_run: Run) -> None:
    arguments = make_run("run", "bag_of_words", objective_options={"stop_tokens": 10_000})
    with pytest.raises(ValueError, match="stop_tokens=10000 of bag_of_words takes every token"):
        build_trainer(arguments, check_pretraining(arguments))


@pytest.mark.parametrize("objective", ["bag_of_words", "mae_lm"])
def test_accumulating_four_micro_batches_equals_one_large_batch(make_run: Run, objective: str) -> None:
    plain = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96}
    shared = {"model_overrides": plain}
    small = make_run("small", objective, tokens_per_micro_batch=256, gradient_accumulation_steps=4, **shared)
    large = make_run("large", objective, tokens_per_micro_batch=1024, **shared)
    for arguments in (small, large):
        run_pretraining(arguments)
    for one, other in zip(parts(small.output_dir), parts(large.output_dir), strict=True):
        assert one == pytest.approx(other, rel=2e-3)


def test_the_recomputed_activations_of_gradient_checkpointing_change_nothing(make_run: Run) -> None:
    plain = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96}
    logs = []
    for recomputed in (False, True):
        arguments = make_run(
            f"run-{recomputed}", "mae_lm", model_overrides=plain, max_steps=4, gradient_checkpointing=recomputed
        )
        run_pretraining(arguments)
        logs.append(parts(arguments.output_dir))
    for one, other in zip(*logs, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_processes_equal_one_that_accumulates(make_run: Run, data: Path, tmp_path: Path, objective: str) -> None:
    plain = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96}
    few = {"stop_tokens": 10} if objective == "bag_of_words" else {}
    options = {"decoder_mask_rate": 0.0} if objective == "retromae" else few  # nothing drawn: ranks draw differently
    alone = make_run(
        "alone", objective, gradient_accumulation_steps=2, model_overrides=plain, objective_options=options
    )
    run_pretraining(alone)
    recipe = {
        **settings(data, tmp_path / "both"),
        "objective": objective,
        "objective_options": options,
        "masking_options": ALL_MASK,
        "model_overrides": plain,
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    words = ["-m", "chinese_modernbert.cli", "pretrain", "--config", str(tmp_path / "recipe.yaml")]
    assert finish(start(words, tmp_path)) == [0], (tmp_path / "err-0.txt").read_text()
    for one, other in zip(parts(str(tmp_path / "both")), parts(alone.output_dir), strict=True):
        assert one == pytest.approx(other, rel=2e-3)

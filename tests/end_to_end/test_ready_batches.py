"""Runs on batches that were masked ahead: equal for any number of workers, in a resume, and to runs on packed rows."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from chinese_modernbert.trainers.pretraining.batches import MaskedBatches
from chinese_modernbert.trainers.pretraining.log import read_training_log
from chinese_modernbert.trainers.pretraining.run import build_trainer, check_pretraining, run_pretraining
from chinese_modernbert.trainers.pretraining.trainer import PretrainingTrainer
from reference.pretraining_run import Run, assert_same_weights, run_until, settings
from reference.torchrun import finish, start

# The paper's masks, masks that follow the model, masks with loss weights, and causal micro-batches in between.
MASKINGS: dict[str, dict[str, Any]] = {
    "paper": {"z_loss": 1e-3},
    "following": {"masking": "amlm", "masking_options": {"every": 2}},
    "weighing": {"masking": "frequency_informed", "gradient_accumulation_steps": 2},
    "causal": {"causal_share": 0.25, "gradient_accumulation_steps": 2, "z_loss": 1e-3},
}
TIMES = ("tokens_per_second", "tflops")


def logged(output: str | None) -> list[dict[str, float]]:
    """Return every line of training without what is measured in seconds."""
    lines = [line for line in read_training_log(str(output)) if "loss" in line]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


@pytest.mark.parametrize("kind", MASKINGS)
def test_workers_and_a_resume_change_no_bit(make_run: Run, kind: str) -> None:
    straight = make_run("straight", **MASKINGS[kind])
    expected = run_pretraining(straight)
    for workers in (1, 2):
        arguments = make_run(f"workers-{workers}", dataloader_num_workers=workers, **MASKINGS[kind])
        assert_same_weights(expected, run_pretraining(arguments))
        assert logged(arguments.output_dir) == logged(straight.output_dir)
    broken = {**MASKINGS[kind], "dataloader_num_workers": 1}
    run_until(5, make_run("broken", **broken))
    again = make_run("broken", **{**broken, "dataloader_num_workers": 2, "resume": "auto"})
    assert_same_weights(expected, run_pretraining(again))
    assert logged(again.output_dir) == logged(straight.output_dir)


def train_on(rows: bool, arguments: Any, label_capacity: int | None = None) -> PretrainingTrainer:
    torch.manual_seed(0)
    trainer = build_trainer(arguments, check_pretraining(arguments))
    ready = trainer.train_dataset
    assert ready.flat
    given = (ready.batches, ready.masker, ready.window, not rows, label_capacity)
    trainer.train_dataset = MaskedBatches(*given, causal_share=ready.causal_share)
    trainer.train()
    return trainer


def parameters(trainer: PretrainingTrainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


@pytest.mark.parametrize("kind", MASKINGS)
def test_flat_rows_differ_from_packed_ones_by_rounding_and_log_the_same_figures(make_run: Run, kind: str) -> None:
    shared = {**MASKINGS[kind], "model_overrides": SHAPE}
    lines = []
    for rows in (True, False):
        arguments = make_run(f"rows-{rows}", **shared)
        trainer = train_on(rows, arguments)
        lines.append((logged(arguments.output_dir), parameters(trainer)))
    (packed, packed_weights), (flat, flat_weights) = lines
    torch.testing.assert_close(flat_weights, packed_weights, rtol=1e-4, atol=1e-5)
    for one, other in zip(packed, flat, strict=True):
        assert other == pytest.approx(one, rel=1e-4)
        counted = [name for name in one if name.startswith(("mask", "packing", "positions", "stage"))]
        assert len(counted) >= 8
        assert [other[name] for name in counted] == [one[name] for name in counted]
        assert "token_accuracy" in one


SHAPE = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96}  # no dropout: a filler would draw from it


@pytest.mark.parametrize("kind", MASKINGS)
def test_fillers_change_a_run_by_rounding(make_run: Run, kind: str) -> None:
    shared = {**MASKINGS[kind], "model_overrides": SHAPE}
    plain = train_on(False, make_run("plain", **shared))
    filled = train_on(False, make_run("filled", **shared), label_capacity=256)
    torch.testing.assert_close(parameters(filled), parameters(plain), rtol=1e-4, atol=1e-5)
    for one, other in zip(logged(plain.args.output_dir), logged(filled.args.output_dir), strict=True):
        assert other == pytest.approx(one, rel=1e-4)


@pytest.mark.parametrize("kind", ["weighing", "causal"])
def test_two_processes_share_one_mean(make_run: Run, data: Path, tmp_path: Path, kind: str) -> None:
    shared = {**MASKINGS[kind], "model_overrides": SHAPE}
    alone = make_run("alone", **shared)
    run_pretraining(alone)
    recipe = {**settings(data, tmp_path / "both"), **shared, "gradient_accumulation_steps": 1}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    words = ["-m", "chinese_modernbert.cli", "pretrain", "--config", str(tmp_path / "recipe.yaml")]
    assert finish(start(words, tmp_path)) == [0], (tmp_path / "err-0.txt").read_text()
    for one, other in zip(logged(str(tmp_path / "both")), logged(alone.output_dir), strict=True):
        names = [name for name in other if name.startswith("loss") or name in ("grad_norm", "causal_share")]
        assert [one[name] for name in names] == pytest.approx([other[name] for name in names], rel=2e-3)


def test_the_loss_of_a_step_is_that_of_its_kinds_by_their_share_and_the_evaluation_is_of_masks(make_run: Run) -> None:
    arguments = make_run("kinds", causal_share=0.25, gradient_accumulation_steps=2, eval_strategy="steps", eval_steps=6)
    run_pretraining(arguments)
    lines = logged(arguments.output_dir)
    assert [line["causal_share"] for line in lines] == [0.0, 0.5] * (len(lines) // 2)
    for line in lines:
        share, causal = line["causal_share"], line.get("loss_causal", 0.0)
        assert line["loss"] == pytest.approx((1 - share) * line["loss_mlm"] + share * causal, rel=1e-3)
        assert ("loss_causal" in line) is bool(share)
    plain = make_run("masks", gradient_accumulation_steps=2, eval_strategy="steps", eval_steps=6)
    run_pretraining(plain)
    shown = [
        next(line for line in read_training_log(str(one.output_dir)) if "eval_loss" in line)
        for one in (arguments, plain)
    ]
    assert shown[0].keys() == shown[1].keys()
    assert shown[0]["eval_unigram_loss"] == shown[1]["eval_unigram_loss"]  # the same tokens are asked for


def test_a_share_that_would_not_act_or_another_one_is_refused(make_run: Run) -> None:
    with pytest.raises(ValueError, match=r"causal_share=1.0 is not a number in \[0, 1\)"):
        check_pretraining(make_run(causal_share=1.0))
    with pytest.raises(
        ValueError, match="causal_share=0.1 is a part of the plain loss; set it to 0, or objective: mlm"
    ):
        check_pretraining(make_run(causal_share=0.1, objective="retromae"))
    run_until(5, make_run("other"))
    with pytest.raises(ValueError, match=r"other settings: causal_share was 0\.0, is 0\.1$"):
        check_pretraining(make_run("other", causal_share=0.1, resume="auto"))


@pytest.mark.parametrize("accumulation", [1, 3])
def test_the_batches_of_the_next_step_are_prefetched(make_run: Run, tmp_path: Path, accumulation: int) -> None:
    arguments = make_run(dataloader_num_workers=2, gradient_accumulation_steps=accumulation)
    loader = build_trainer(arguments, check_pretraining(arguments)).get_train_dataloader()
    assert loader.prefetch_factor == {1: 2, 3: 3}[accumulation]
    arguments = make_run(dataloader_num_workers=2, dataloader_prefetch_factor=7)
    assert build_trainer(arguments, check_pretraining(arguments)).get_train_dataloader().prefetch_factor == 7


def test_a_run_of_other_steps_than_its_batches_or_over_several_devices_is_refused(
    make_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = make_run()
    setup = check_pretraining(arguments)
    arguments.max_steps = 99
    with pytest.raises(ValueError, match="max_steps=99, but the stages end at step 12, .* give both the same number$"):
        build_trainer(arguments, setup)
    arguments.max_steps = 12
    monkeypatch.setattr(type(arguments), "n_gpu", 2)
    with pytest.raises(ValueError, match="sees 2 GPUs and a batch is for one; start .* --nproc_per_node 2, or set"):
        build_trainer(arguments, setup)

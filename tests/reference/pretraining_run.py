"""A run of two stages and a tiny model, and how two runs are compared."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback, set_seed

from chinese_modernbert.tokenization import TokenizerArguments, run_tokenizer_training
from chinese_modernbert.trainers.data.prepare import PrepareArguments, run_prepare
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from chinese_modernbert.trainers.pretraining.log import read_training_log
from chinese_modernbert.trainers.pretraining.run import build_trainer, check_pretraining
from reference import processes

Run = Callable[..., PretrainingArguments]

needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")

STEPS = 12
LOSSES = ("loss", "grad_norm", "learning_rate", "mask_rate", "mask_rate_target", "packing_efficiency")
TEXTS = [
    f"第{i}条：老虎是一种哺乳动物，生活在森林里，共有{i * 37 % 101}只。它爱吃肉，也会游泳。"
    f"北京是中国的首都，有{i}条大街。"
    for i in range(400)
]


def make_data(folder: Path) -> None:
    """Write a tokenizer and shards for training and evaluation."""
    for name, part in (("train", TEXTS[:360]), ("eval", TEXTS[360:])):
        lines = [json.dumps({"text": text}, ensure_ascii=False) for text in part]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    tokenizer = folder / "tokenizer"
    corpus = [str(folder / "train.jsonl")]
    run_tokenizer_training(TokenizerArguments(corpus=corpus, output_dir=str(tokenizer), vocab_size=384))
    for name in ("train", "eval"):
        source = [str(folder / f"{name}.jsonl")]
        run_prepare(PrepareArguments(source, str(tokenizer), str(folder / f"{name}-shards"), prepare_workers=0))


def settings(data: Path, output: Path) -> dict[str, Any]:
    """Return the settings of a run of two stages, with dropout and a checkpoint every four steps."""
    return {
        "data": str(data / "train-shards"),
        "eval_data": str(data / "eval-shards"),
        "tokenizer": str(data / "tokenizer"),
        "output_dir": str(output),
        "model": "tiny",
        "model_overrides": {
            "num_hidden_layers": 2,
            "hidden_size": 64,
            "intermediate_size": 96,
            "embedding_dropout": 0.1,
        },
        "stages": [
            {"context_length": 64, "share": 0.5, "global_rope_theta": 10_000},
            # Not the base of a new model: a run that ends without having set it is another one.
            {"context_length": 128, "share": 0.5, "global_rope_theta": 160_000},
        ],
        "tokens_per_micro_batch": 256,
        "max_steps": STEPS,
        "warmup_steps": 2,
        "learning_rate": 5e-3,
        "logging_steps": 1,
        "save_steps": 4,
        "save_total_limit": 5,
        "seed": 3,
        "use_cpu": True,
        "disable_tqdm": True,
        "maximum_single_token_share": None,
    }


def start(chosen: dict[str, Any], folder: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start the command in a session of its own; what it says is read from `stderr`."""
    recipe = folder / f"{Path(chosen['output_dir']).name}.yaml"
    recipe.write_text(json.dumps(chosen), encoding="utf-8")
    command = [sys.executable, "-m", "chinese_modernbert.cli", "pretrain", "--config", str(recipe)]
    return processes.start(command, environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def training_lines(output: str | None) -> list[dict[str, float]]:
    """Return what must be equal in two logs: all but times."""
    lines = [line for line in read_training_log(str(output)) if "loss" in line]
    return [{key: line[key] for key in LOSSES if key in line} for line in lines]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint."""
    return load_file(folder / "model.safetensors")


def assert_same_weights(first: Path, second: Path) -> None:
    """Compare two checkpoints bit for bit, and the configurations under which their weights are read."""
    one, two = (json.loads((folder / "config.json").read_text(encoding="utf-8")) for folder in (first, second))
    assert one == two
    left, right = weights(first), weights(second)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


class StopAt(TrainerCallback):
    """Break a run off when a step has ended."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if state.global_step == self.step:
            raise KeyboardInterrupt


def run_until(stop: int, arguments: PretrainingArguments) -> None:
    """Start a run as `run_pretraining` does, or go on with it, and break it off at a step."""
    setup = check_pretraining(arguments)
    set_seed(arguments.seed)
    trainer = build_trainer(arguments, setup)
    trainer.add_callback(StopAt(stop))
    with contextlib.suppress(KeyboardInterrupt):
        trainer.train(resume_from_checkpoint=str(setup.resume_from) if setup.resume_from else None)
    assert trainer.state.global_step == stop
    trainer.stop_on_signal.stop_listening()

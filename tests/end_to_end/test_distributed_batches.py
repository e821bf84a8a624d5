"""A step reads the same micro-batches, with the same masks and losses, however it is split into processes."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.tokenization import TokenizerArguments, run_tokenizer_training
from chinese_modernbert.trainers.data.prepare import PrepareArguments, run_prepare
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from chinese_modernbert.trainers.pretraining.log import read_training_log
from chinese_modernbert.trainers.pretraining.run import build_trainer, check_pretraining
from reference.processes import run

SCRIPT = Path(__file__).parents[1] / "reference" / "recorded_batches.py"
DOCUMENTS, STEPS = 90, 12

Run = Callable[..., list[list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tokenizer and shards of two sources."""
    folder = tmp_path_factory.mktemp("data")
    texts = [f"第{i}条：老虎住在森林里，共有{i * 37 % 101}只，也会游泳。" * (1 + i % 3) for i in range(DOCUMENTS)]
    for number, source in enumerate("ab"):
        lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts[number::2]]
        (folder / f"{source}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    corpus, tokenizer = [str(folder / f"{source}.jsonl") for source in "ab"], str(folder / "tokenizer")
    run_tokenizer_training(TokenizerArguments(corpus=corpus, output_dir=tokenizer, vocab_size=360))
    run_prepare(PrepareArguments(corpus, tokenizer, str(folder / "shards"), prepare_workers=0))
    return folder


def settings(data: Path, output: Path, **changes: Any) -> dict[str, Any]:
    return {
        "data": str(data / "shards"),
        "tokenizer": str(data / "tokenizer"),
        "output_dir": str(output),
        "model": "tiny",
        "model_overrides": {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96},
        "stages": [{"context_length": 64, "share": 0.75}, {"context_length": 128, "share": 0.25}],
        "tokens_per_micro_batch": 256,
        "max_steps": STEPS,
        "warmup_steps": 2,
        "learning_rate": 5e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "seed": 3,
        "use_cpu": True,
        "disable_tqdm": True,
        "maximum_single_token_share": None,
        **changes,
    }


def train(data: Path, folder: Path, processes: int, **changes: Any) -> list[list[dict[str, Any]]]:
    """Train on some processes, four micro-batches a step; return what each step read, in the order of the numbers."""
    folder.mkdir()
    fields = settings(data, folder / "run", gradient_accumulation_steps=4 // processes, **changes)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    words = [*(launcher if processes > 1 else []), str(SCRIPT), json.dumps(fields), str(folder)]
    found = run([sys.executable, *words], {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"})
    assert found.returncode == 0, found.stderr[-3000:]
    steps: list[list[dict[str, Any]]] = [[] for _ in range(STEPS)]
    for rank in range(processes):
        lines = [json.loads(line) for line in (folder / f"batches-{rank}.jsonl").read_text().split("\n") if line]
        assert all(line["micro_batch"] % processes == rank for line in lines)
        for line in lines:
            steps[line["step"]].append(line)
    return [sorted(step, key=lambda line: line["micro_batch"]) for step in steps]


def logged(folder: Path) -> list[dict[str, float]]:
    names = ("loss", "grad_norm", "learning_rate", "mask_rate_target", "positions_seen")
    return [{name: line[name] for name in names} for line in read_training_log(folder) if "loss" in line]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"source_weights": {"a": 1.5}, "batch_size_warmup_share": 0.5, "dataloader_num_workers": 2},
    ],
    ids=["plain", "weights, ramp, two workers"],
)
def test_two_processes_read_in_every_step_what_one_process_reads(
    data: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    one = train(data, tmp_path / "one", 1, **{**changes, "dataloader_num_workers": 0})
    two = train(data, tmp_path / "two", 2, **changes)
    assert [[line["micro_batch"] for line in step] for step in one] == np.arange(4 * STEPS).reshape(STEPS, 4).tolist()
    assert two == one
    for alone, shared in zip(logged(tmp_path / "one" / "run"), logged(tmp_path / "two" / "run"), strict=True):
        assert shared == pytest.approx(alone, rel=2e-3)
    if not changes:
        first_epoch = [line for step in two for line in step if line["epochs"] == [0]]
        seen = np.bincount([d for line in first_epoch for d in set(line["documents"])], minlength=DOCUMENTS)
        assert seen.max() == 1
        assert seen.sum() > DOCUMENTS // 2


@pytest.mark.parametrize("option", ["split_batches", "dispatch_batches"])
def test_options_that_would_share_out_pieces_of_micro_batches_are_refused(
    data: Path, tmp_path: Path, option: str
) -> None:
    fields = settings(data, tmp_path / "run", accelerator_config={option: True})
    arguments = load_recipe([PretrainingArguments], None, fields)[0]
    with pytest.raises(ValueError, match=f"accelerator_config has {option}: true"):
        check_pretraining(arguments)


def test_skipping_no_data_on_resume_is_refused(data: Path, tmp_path: Path) -> None:
    fields = settings(data, tmp_path / "run", ignore_data_skip=True)
    with pytest.raises(ValueError, match="'ignore_data_skip' .* never done again; leave it out"):
        check_pretraining(load_recipe([PretrainingArguments], None, fields)[0])


def test_max_tokens_is_the_number_of_positions_read_with_a_ramp_too(data: Path, tmp_path: Path) -> None:
    changes = {"max_tokens": 20_000, "max_steps": -1, "batch_size_warmup_share": 0.3, "gradient_accumulation_steps": 2}
    arguments = load_recipe([PretrainingArguments], None, settings(data, tmp_path / "run", **changes))[0]
    trainer = build_trainer(arguments, check_pretraining(arguments))
    trainer.train()
    assert trainer.state.global_step == arguments.max_steps > 20_000 / 512
    seen = [line["positions_seen"] for line in read_training_log(tmp_path / "run") if "loss" in line]
    assert seen[:2] == [128, 256]
    assert 20_000 <= seen[-1] < 20_000 + 512
    assert np.diff(seen).max() == 512


def test_max_steps_cuts_a_recipe_with_max_tokens_short_and_says_so(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fields = settings(data, tmp_path / "run", max_tokens=20_000, max_steps=7)
    arguments = load_recipe([PretrainingArguments], None, fields)[0]
    check_pretraining(arguments)
    assert arguments.max_steps == 7
    assert "max_steps=7 ends the run before max_tokens=20000 is read" in caplog.text


class StopAt(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 5:
            raise KeyboardInterrupt


def test_a_run_with_weights_long_share_and_growing_batch_resumes_bit_for_bit(data: Path, tmp_path: Path) -> None:
    changes = {
        "stages": [{"context_length": 32, "share": 0.6}, {"context_length": 128, "share": 0.4, "long_share": 0.7}],
        "source_weights": {"a": 0.5, "b": 2.0},
        **{"batch_size_warmup_share": 0.7, "save_strategy": "steps", "save_steps": 4},
    }
    lines = []
    for name in ("straight", "broken"):
        arguments = load_recipe([PretrainingArguments], None, settings(data, tmp_path / name, **changes))[0]
        torch.manual_seed(0)
        trainer = build_trainer(arguments, check_pretraining(arguments))
        if name == "broken":
            trainer.add_callback(StopAt())
            with pytest.raises(KeyboardInterrupt):
                trainer.train()
            again = settings(data, tmp_path / name, resume="auto", **changes)
            setup = check_pretraining(load_recipe([PretrainingArguments], None, again)[0])
            assert setup.resume_from == tmp_path / name / "checkpoint-4"
            build_trainer(arguments, setup).train(resume_from_checkpoint=str(setup.resume_from))
        else:
            trainer.train()
        lines.append(logged(tmp_path / name))
    assert lines[0] == lines[1]

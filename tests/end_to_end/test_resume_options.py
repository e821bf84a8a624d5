"""Change any one option of a cut or finished run: it is refused by name, or no bit of the result changes.

Whatever is not on the short lists of what may differ is compared, so an option that a later version adds is too. What
is on them is changed all at once, in a run that goes on.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch

from chinese_modernbert.runtime.options import accepted_names
from chinese_modernbert.runtime.settings import differing_settings
from chinese_modernbert.runtime.training_arguments import MAY_DIFFER, deciding_options, default_arguments
from chinese_modernbert.trainers.clue.arguments import ClueArguments
from chinese_modernbert.trainers.clue.settings import MAY_DIFFER_BETWEEN_RUNS
from chinese_modernbert.trainers.contrastive.arguments import ContrastiveArguments, RetrievalArguments
from chinese_modernbert.trainers.data.arguments import PrepareArguments
from chinese_modernbert.trainers.data.prepare import run_prepare
from chinese_modernbert.trainers.data.shard_settings import READ_AGAIN
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from chinese_modernbert.trainers.pretraining.identity import MAY_DIFFER_ON_RESUME
from chinese_modernbert.trainers.pretraining.run import check_pretraining, run_pretraining
from reference.pretraining_run import STEPS, Run, assert_same_weights, run_until, settings, training_lines

COMMANDS: dict[str, tuple[type, tuple[str, ...]]] = {
    "pretrain": (PretrainingArguments, MAY_DIFFER_ON_RESUME),
    "clue": (ClueArguments, MAY_DIFFER_BETWEEN_RUNS),
    "sts": (ContrastiveArguments, ContrastiveArguments.may_differ),
    "retrieval": (RetrievalArguments, RetrievalArguments.may_differ),
    "prepare": (PrepareArguments, READ_AGAIN),
}


def defaults_of(kind: type) -> Any:
    if kind is PrepareArguments:
        return PrepareArguments()
    return default_arguments(kind, **({"model": "a model"} if kind is ClueArguments else {}))


def another(value: Any, kind: Any) -> Any:
    """Return another value of an option, whatever it means."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if get_origin(kind) is Literal:
        return next(one for one in get_args(kind) if one != value)
    if dataclasses.is_dataclass(value):
        return {**dataclasses.asdict(value), "another": 1}  # pyright: ignore[reportArgumentType]
    if isinstance(value, list | tuple):
        return [*value, "another"]
    return "another"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_that_may_not_differ_is_compared(command: str) -> None:
    kind, may_differ = COMMANDS[command]
    given, hints = defaults_of(kind), get_type_hints(kind)
    before = deciding_options(given, may_differ)
    assert before.keys() == accepted_names(kind) - MAY_DIFFER - set(may_differ)
    assert set(may_differ) <= accepted_names(kind), "a name that is no option"
    for name in before:
        old = getattr(given, name)
        setattr(given, name, another(old, hints[name]))
        found = differing_settings(json.loads(json.dumps(before)), deciding_options(given, may_differ))
        assert [text.partition(" was ")[0] for text in found] == [name]
        setattr(given, name, old)


# Another value of each option of `pretrain` that the command itself takes: what is refused before it is compared is not
# compared, such as an option of Muon under another optimizer.
CHANGES: dict[str, Any] = {
    "accelerator_config": {"even_batches": False},
    "activation_checkpointing": True,
    "data_seed": 8,
    "ddp_find_unused_parameters": True,
    "debug": "underflow_overflow",  # its hooks change the last bits
    "ddp_bucket_cap_mb": 3,
    "ema_decay": 0.9,
    "eval_context_length": 64,
    "fp16": True,
    "lr_cycles": 2,
    "lr_decay_share": 0.5,
    "lr_gamma": 0.7,
    "lr_schedule": "cosine",
    "masking": "whole_word",
    "masking_options": {"high": 0.5},
    "max_steps": STEPS + 2,
    "model_overrides": {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96, "local_attention": 8},
    "objective": "retromae",
    "optimizer": "adamw",
    "source_weights": {"train": 2.0},
    "stages": [{"context_length": 64, "share": 0.25}, {"context_length": 128, "share": 0.75}],
    "tokens_per_micro_batch": 512,
    "warmup_steps": 3,
    "weight_decay_embeddings": 0.1,
    "z_loss": 1e-4,
    **{name: 0.5 for name in ("adam_beta1", "adam_beta2", "adam_epsilon", "learning_rate", "max_grad_norm")},
    **{name: 0.5 for name in ("batch_size_warmup_share", "eval_mask_rate", "lr_floor", "weight_decay")},
    **{name: True for name in ("bf16", "torch_compile", "full_determinism", "ddp_static_graph")},
    "average_tokens_across_devices": False,
    "seed": 4,
}
IN_OTHER_WORDS = {
    "gradient_accumulation_steps": (2, "micro_batches_per_step was 1, is 2"),
    "max_tokens": (10 * 256, "max_steps was 12, is 10"),
}


@pytest.fixture(scope="module")
def cut(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that was cut off after its first checkpoint."""
    from chinese_modernbert.runtime.options import load_recipe

    folder = tmp_path_factory.mktemp("cut")
    run_until(5, load_recipe([PretrainingArguments], None, settings(data, folder / "run"))[0])
    return folder / "run"


def complaint(make_run: Run, cut: Path, **changes: Any) -> str:
    with pytest.raises(ValueError, match="cannot go on exactly under other settings: ") as caught:
        check_pretraining(make_run(output_dir=str(cut), resume="auto", **changes))
    return str(caught.value)


def test_a_cut_run_goes_on_under_no_other_option(make_run: Run, cut: Path) -> None:
    assert check_pretraining(make_run(output_dir=str(cut), resume="auto")).resume_from == cut / "checkpoint-4"
    for name, value in CHANGES.items():
        assert f"settings: {name} was " in complaint(make_run, cut, **{name: value}), name
    for name, (value, message) in IN_OTHER_WORDS.items():
        assert message in complaint(make_run, cut, **{name: value}), name
    used = json.loads((cut / "checkpoint-4" / "pretraining.json").read_text())["cpu_products"]
    other = {"torch": "onednn", "onednn": "torch"}[used]
    if other == "torch" or torch.backends.mkldnn.is_available():
        assert f"cpu_products was '{used}', is '{other}'" in complaint(make_run, cut, cpu_products=other)


def test_a_cut_run_goes_on_with_no_other_content(make_run: Run, cut: Path, data: Path, tmp_path: Path) -> None:
    own = settings(data, cut)
    # The ids of these shards are the same; where documents begin is not.
    longer = tmp_path / "joined.jsonl"
    texts = [json.loads(line)["text"] for line in (data / "train.jsonl").read_text(encoding="utf-8").split("\n")]
    longer.write_text(json.dumps({"text": texts[0]}) + "\n", encoding="utf-8")
    shards = run_prepare(PrepareArguments([str(longer)], own["tokenizer"], str(tmp_path / "shards"), prepare_workers=0))
    assert "data was " in complaint(make_run, cut, data=str(shards))
    assert "eval_data was " in complaint(make_run, cut, eval_data=own["data"])
    assert "eval_data was " in complaint(make_run, cut, eval_data=None)
    assert "model was 'tiny', is " in complaint(make_run, cut, model=str(cut / "checkpoint-4"), model_overrides=None)


def test_a_run_goes_on_from_its_own_start_and_from_no_other(make_run: Run, cut: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(cut / "checkpoint-4", tmp_path / name)
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    (tmp_path / "b" / "config.json").write_text(json.dumps({**config, "local_attention": 8}))
    start = {"model_overrides": None, "max_steps": 4, "save_steps": 2, "warmup_steps": 0}
    run_until(3, make_run("own", model=str(tmp_path / "a"), **start))
    (tmp_path / "a").rename(tmp_path / "c")
    arguments = make_run("own", model=str(tmp_path / "c"), resume="auto", **start)
    assert check_pretraining(arguments).resume_from == tmp_path / "own" / "checkpoint-2"
    with pytest.raises(ValueError, match=r"other settings: model was '[0-9a-f]{16}', is '[0-9a-f]{16}'$"):
        check_pretraining(make_run("own", model=str(tmp_path / "b"), resume="auto", **start))


# All options of `pretrain` in which two starts may differ, each with another value than the run had.
FREE: dict[str, Any] = {
    "logging_steps": 1,
    "logging_strategy": "steps",
    "logging_first_step": True,
    "log_level": "error",
    "log_level_replica": "error",
    "log_on_each_node": False,
    "disable_tqdm": False,
    "run_name": "another",
    "project": "another",
    "ddp_timeout": 90,
    "torch_empty_cache_steps": 1,
    "dataloader_num_workers": 2,
    "dataloader_pin_memory": False,
    "dataloader_prefetch_factor": 3,
    "max_tokens": STEPS * 256,
    "resume": "auto",
    "check_hashes": False,
    "save_strategy": "steps",
    "save_steps": 3,
    "save_total_limit": 2,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "eval_delay": 1,
    "eval_on_start": True,
    "peak_flops": 1e12,
    "on_bad_batch": "skip",
    "spike_factor": 1e6,
    "max_skipped": 3,
    "maximum_single_token_share": 0.9999,
}
# Paths are changed too; a device and a tracker are not here; the product of the last two is compared.
ELSEWHERE = {"model", "tokenizer", "data", "eval_data", "output_dir"}
NOT_HERE = {"use_cpu", "local_rank", "report_to"}
COMPARED = {"gradient_accumulation_steps", "cpu_products", "overwrite"}


def test_what_may_differ_changes_no_bit(make_run: Run, cut: Path, data: Path, tmp_path: Path) -> None:
    free = (MAY_DIFFER | set(MAY_DIFFER_ON_RESUME)) & accepted_names(PretrainingArguments)
    assert free == FREE.keys() | ELSEWHERE | NOT_HERE | COMPARED
    run_pretraining(make_run("straight"))
    for source, target in ((data, "data"), (cut, "run")):
        shutil.copytree(source, tmp_path / "elsewhere" / target)
    own = settings(data, tmp_path / "elsewhere" / "run")
    moved = {
        name: value.replace(str(data), str(tmp_path / "elsewhere" / "data"))
        for name, value in own.items()
        if name in ELSEWHERE
    }
    run_pretraining(make_run("elsewhere/run", **moved, **FREE))
    assert_same_weights(tmp_path / "straight" / "final", tmp_path / "elsewhere" / "run" / "final")
    found, wanted = (training_lines(str(tmp_path / name)) for name in ("elsewhere/run", "straight"))
    assert found == wanted


def content_of(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix == ".bin"}


def test_text_that_prepare_reads_again_decides_and_not_the_shards_that_were_there(data: Path, tmp_path: Path) -> None:
    def prepare(output: str, **changes: Any) -> Path:
        given = {"corpus": [str(data / "train.jsonl")], "tokenizer": str(data / "tokenizer"), "prepare_workers": 0}
        options = {"shard_characters": 4_000, **given, **changes}
        return run_prepare(PrepareArguments(output_dir=str(tmp_path / output), **options))

    prepare("shards")
    for number, changes in enumerate(({"max_documents": 150}, {"corpus": [str(data / "eval.jsonl")]})):
        assert content_of(prepare("shards", **changes)) == content_of(prepare(f"new-{number}", **changes))
    with pytest.raises(FileExistsError, match="shard_characters was 4000, is 5000"):
        prepare("shards", shard_characters=5_000)
    assert not os.path.exists(tmp_path / "shards" / "run.lock")

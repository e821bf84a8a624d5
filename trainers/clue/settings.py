"""Which options decide a result: those that two runs of one folder, and two reports, must agree in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ...evaluation.clue.report import REPORT_JSON
from ...runtime.settings import differing_settings
from ...runtime.training_arguments import deciding_options
from .arguments import ClueArguments

# What names a run, or is asked of it when it is done. In all other options two runs of a folder must agree, and in the
# content of model, tokenizer, task and data.
MAY_DIFFER_BETWEEN_RUNS = (
    *("tasks", "task_file", "train_from", "learning_rate", "learning_rates", "grid", "seed", "seeds"),
    *("save_model", "explain", "against"),
)
# What a report says of the command.
CLUE_SETTINGS = (
    "select_on", "folds", "patience", "max_length", "max_train_samples", "max_eval_samples", "layer_decay",
    "class_weights", "lora_rank", "lora_alpha", "masked_fine_tuning", "num_train_epochs",
    "per_device_train_batch_size", "gradient_accumulation_steps", "warmup_steps", "weight_decay", "bf16", "fp16",
    "predict_test", "optim", "optim_args", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm",
    "lr_scheduler_type", "lr_scheduler_kwargs", "max_steps",
)  # fmt: skip
# Options that a task decides where they are 0.
OF_THE_TASK = ("learning_rate", "max_length", "num_train_epochs", "per_device_train_batch_size")
# What a later command may change in a folder: more seeds, and the machine.
MAY_DIFFER = ("seeds", "device", "threads")


def run_settings(chosen: ClueArguments) -> dict[str, Any]:
    """Return the options in which two runs of one folder must agree, by name."""
    return deciding_options(chosen, MAY_DIFFER_BETWEEN_RUNS)


def report_settings(args: ClueArguments, model: str) -> dict[str, Any]:
    """Return what the report states about the command and the machine."""
    device = torch.cuda.get_device_name() if args.device.type == "cuda" else "CPU"
    given = {name: getattr(args, name) for name in ("learning_rate", *CLUE_SETTINGS)}
    return {
        "model": model,
        "seeds": list(range(args.seed, args.seed + args.seeds)),
        "grid": args.learning_rates if args.grid else None,
        "train_from": args.train_from,
        "device": device,
        "threads": torch.get_num_threads(),
        **{name: _shown(name, value) for name, value in given.items()},
    }


def _shown(name: str, value: Any) -> Any:
    return "the task's" if name in OF_THE_TASK and not value else value


def refuse_other_report(output: Path, settings: Mapping[str, Any], tasks: Sequence[str]) -> None:
    """Refuse a folder whose report another command wrote, unless this one says all of it again: it is replaced.

    Args:
        output: folder of results
        settings: `report_settings` of this command
        tasks: names of its tasks; there may be more of them, and of the seeds, than in the report

    Raises:
        FileExistsError: If the report has tasks, seeds or settings that this command has not.
    """
    file = output / REPORT_JSON
    if not file.is_file():
        return
    content = json.loads(file.read_text(encoding="utf-8"))
    old = {name: _shown(name, value) for name, value in content["settings"].items() if name in settings}
    names = old.keys() - set(MAY_DIFFER)  # a report of an older version has not all of them
    kept = [{name: value for name, value in one.items() if name in names} for one in (old, settings)]
    different = differing_settings(*kept)
    for name, before, now in (
        ("tasks", [row["task"] for row in content["tasks"]], tasks),
        ("seeds", old.get("seeds", []), settings["seeds"]),
    ):
        if not set(before) <= set(now):
            different.append(f"{name} were {', '.join(map(str, before))}, are {', '.join(map(str, now))}")
    if different:
        raise FileExistsError(
            f"{file} is of another command: {'; '.join(different)}; give another output_dir, or --overwrite"
        )


def in_effect(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that changed a run, as this version names them; older ones had a focal loss and `figure`."""
    idle = {"focal_gamma": 0.0, "lora_alpha": None if identity["lora_rank"] else identity["lora_alpha"]}
    named = {"metric" if name == "figure" else name: value for name, value in identity.items()}
    return {name: value for name, value in named.items() if name not in idle or value != idle[name]}

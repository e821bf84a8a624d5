"""What decides the result of a stage, and what a report shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ...runtime.files import model_files_fingerprint, model_fingerprint
from ...runtime.settings import differing_settings
from ...runtime.training_arguments import MAY_DIFFER, deciding_options, default_arguments
from .arguments import ContrastiveArguments
from .options import ContrastiveStage

# A stage is compared with its own settings and those before it; what is only reported beside it is scored by itself.
MAY_DIFFER_BETWEEN_STARTS = ("stages", "against", "baselines", "baseline_corpus", "mteb")
# What the report says about the command, beside its stages.
SHOWN = (
    "model", "temperature", "symmetric_loss", "matryoshka_sizes", "query_prompt", "document_prompt", "pooling",
    "normalize", "leakage", "leakage_similarity", "mining_margin", "lora_rank", "lora_alpha", "seed", "max_steps",
    "evaluation", "retrieval", "bootstrap_resamples", "learning_rate",
    "warmup_steps", "lr_scheduler_type", "weight_decay", "max_grad_norm", "gradient_accumulation_steps", "optim",
    "batch_sampler", "bf16", "fp16", "cached_batch_size", "data",
)  # fmt: skip


def run_settings(arguments: ContrastiveArguments) -> dict[str, Any]:
    """Return what all stages of a run must agree in, beside their rows."""
    return {
        **deciding_options(arguments, MAY_DIFFER_BETWEEN_STARTS),
        "weights": model_fingerprint(arguments.model),
        "files": model_files_fingerprint(arguments.model),
    }


def stage_record(
    number: int, stage: ContrastiveStage | None, arguments: ContrastiveArguments, rows: str
) -> dict[str, Any]:
    """Return what decides the result of a stage: its own settings and rows, and those of every stage before it."""
    return {
        "settings": run_settings(arguments),
        "rows": rows,
        "before": [asdict(one) for one in arguments.stages[: max(0, number - 1)]],
        "stage": None if stage is None else asdict(stage),
    }


def shown_settings(arguments: ContrastiveArguments) -> dict[str, Any]:
    """Return what the report says about the command."""
    stages = {f"stage {number}": asdict(stage) for number, stage in enumerate(arguments.stages, start=1)}
    shown = {name: getattr(arguments, name) for name in SHOWN}
    return {**shown, "weights": model_fingerprint(arguments.model), **stages}


def differing_stages(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs between two records of a stage, one text each; an older one lacks what had its default."""
    defaults = deciding_options(default_arguments(ContrastiveArguments), MAY_DIFFER_BETWEEN_STARTS)
    return differing_settings(_flat(old), _flat(new), {**defaults, "files": new["settings"]["files"]})


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the result of a stage under one name each; its log and its rows are a part of the result."""
    told = ("settings", "log", "trained_rows")
    settings = {name: value for name, value in record["settings"].items() if name not in MAY_DIFFER}
    return {**settings, **{name: value for name, value in record.items() if name not in told}}

"""What decides the result of a stage, and what a report shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from ...runtime.files import model_files_fingerprint, model_fingerprint
from ...runtime.options import own_names
from ...runtime.settings import differing_settings
from ...runtime.training_arguments import MAY_DIFFER, deciding_options, default_arguments
from .arguments import StageArguments
from .mining import named_models
from .options import ContrastiveStage

# What the report does not say about the command, or says elsewhere.
NOT_SHOWN = frozenset(
    ("stages", "output_dir", "overwrite", "trust_remote_code", "against", "use_cpu", "logging_steps", "report_to")
)
SHOWN_OF_THE_LIBRARY = ("weight_decay", "max_grad_norm", "optim", "fp16")


def run_settings(arguments: StageArguments) -> dict[str, Any]:
    """Return what all stages of a run must agree in, beside their rows."""
    return {
        **deciding_options(arguments, arguments.may_differ),
        "weights": model_fingerprint(arguments.model),
        "files": model_files_fingerprint(arguments.model),
    }


def stage_record(
    number: int, stage: ContrastiveStage | None, arguments: StageArguments, rows: str, before: Path | None = None
) -> dict[str, Any]:
    """Return what decides the result of a stage: its own settings and rows, and those of every stage before it.

    Args:
        number: of the stage, 0 before training
        stage: its own settings, none before training
        arguments: of the command
        rows: fingerprint of all rows that it depends on
        before: model that it begins with, of the stage before: one that was trained again may be another
    """
    record: dict[str, Any] = {
        "settings": run_settings(arguments),
        "rows": rows,
        "before": [asdict(one) for one in arguments.stages[: max(0, number - 1)]],
        "stage": None if stage is None else asdict(stage),
    }
    if before is not None:
        record["begins_with"] = model_files_fingerprint(before)
    return record if stage is None else {**record, **named_models(stage)}


def shown_settings(arguments: StageArguments) -> dict[str, Any]:
    """Return what the report says about the command."""
    stages = {f"stage {number}": asdict(stage) for number, stage in enumerate(arguments.stages, start=1)}
    names = [name for name in own_names(type(arguments)) if name not in NOT_SHOWN]
    shown = {name: _as_given(getattr(arguments, name)) for name in (*names, *SHOWN_OF_THE_LIBRARY)}
    return {**shown, "weights": model_fingerprint(arguments.model), **stages}


def _as_given(value: Any) -> Any:
    """Return a choice of the library by the word that an option takes."""
    return value.value if isinstance(value, Enum) else value


def differing_stages(old: Mapping[str, Any], new: Mapping[str, Any], kind: type[StageArguments]) -> list[str]:
    """Return what differs between two records of a stage, one text each; an older one lacks what had its default.

    Args:
        old: of an earlier run
        new: of this one
        kind: the arguments of the command
    """
    defaults = deciding_options(default_arguments(kind), kind.may_differ)
    unknown = {"files": new["settings"]["files"], "begins_with": new.get("begins_with")}
    return differing_settings(_flat(_whole_stages(old)), _flat(new), {**defaults, **unknown})


def _whole_stages(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record whose stages have every option: one that it lacks is newer and had its default."""
    defaults = asdict(ContrastiveStage(["any"]))
    stages = [{**defaults, **one} for one in record["before"]]
    return {**record, "before": stages, "stage": record["stage"] and {**defaults, **record["stage"]}}


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the result of a stage under one name each; its log and its rows are a part of the result."""
    told = ("settings", "log", "trained_rows")
    settings = {name: value for name, value in record["settings"].items() if name not in MAY_DIFFER}
    return {**settings, **{name: value for name, value in record.items() if name not in told}}

"""What becomes of each field of `transformers.TrainingArguments` in our training commands: training_arguments.yaml.

A field of a newer Transformers that is in no table is refused too (`library_options`).
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from .options import LibraryOptions, accepted_names
from .settings import plain

TABLES = Path(__file__).with_suffix(".yaml")

MAY_DIFFER = frozenset(
    (
        # Where things lie: their content is compared.
        *("model", "tokenizer", "data", "output_dir", "overwrite"),
        # What is told of the run.
        *("logging_strategy", "logging_steps", "logging_first_step", "logging_nan_inf_filter", "log_level"),
        *("log_level_replica", "log_on_each_node", "disable_tqdm", "report_to", "run_name", "project"),
        # How the machine does the work.
        *("use_cpu", "local_rank", "ddp_timeout", "eval_accumulation_steps", "torch_empty_cache_steps"),
        *("dataloader_num_workers", "dataloader_pin_memory", "dataloader_prefetch_factor"),
        "dataloader_persistent_workers",
    )
)
"""Options in which two starts of one run may differ, in every command."""


def library_options(command: str, kind: type, library: type) -> LibraryOptions:
    """Return the table of a command: the rows that all commands share and the command's, which win.

    Args:
        command: its name in the file
        kind: the command's dataclass
        library: the dataclass that it extends; a field that no table knows and `kind` does not declare is refused
    """
    acting, never = _rows_of(command)
    fields = {field.name for field in dataclasses.fields(library)}
    acts = {name: where for name, where in acting.items() if name in fields}
    own = {field.name for field in dataclasses.fields(kind) if "group" in field.metadata}
    unknown = fields - acts.keys() - never.keys() - own
    return LibraryOptions(acts, {**never, **dict.fromkeys(unknown, "no command here reads it; leave it out")})


def acting_fields(command: str) -> set[str]:
    """Return the fields of the library, of any of its versions, that a command takes."""
    return set(_rows_of(command)[0])


def _rows_of(command: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return what acts and what is refused by a command: the rows that all share, and its own, which win."""
    tables = yaml.safe_load(TABLES.read_text(encoding="utf-8"))
    shared, own_rows = tables["every_command"], tables[command]
    acting, refused = own_rows["acting"], own_rows["refused"]
    never = {**{name: instead for name, instead in shared["refused"].items() if name not in acting}, **refused}
    return {name: where for name, where in {**shared["acting"], **acting}.items() if name not in never}, never


def default_arguments(kind: type, **required: Any) -> Any:
    """Return the defaults of a training command, to compare with.

    Args:
        kind: the command's dataclass
        required: options without which it is not made
    """
    import torch

    # Finding a device anew would move the run's own processes to it, here to the CPU.
    found = {"_setup_devices": torch.device("cpu"), "distributed_state": None, "_n_gpu": 0}
    resting = type(kind.__name__, (kind,), found)
    return resting(output_dir="unused", use_cpu=True, **required)


def deciding_options(arguments: Any, may_differ: Iterable[str] = ()) -> dict[str, Any]:
    """Return the options in which two starts of one run must agree, as plain data, by name.

    Args:
        arguments: the run's
        may_differ: options of this command that may differ too, or that are compared in another form
    """
    names = accepted_names(type(arguments)) - MAY_DIFFER - set(may_differ)
    return plain({name: getattr(arguments, name) for name in sorted(names)})

"""What makes a run the same: its options and the content of what it reads; and the checkpoint that it goes on from."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import yaml

from ...modeling import PRESETS
from ...runtime.files import weights_fingerprint
from ...runtime.settings import differing_settings
from ...runtime.training_arguments import deciding_options, default_arguments
from ..data.shards import TokenShards
from ..data.stages import Stage
from ..masking.materials.from_options import content_of_options
from .arguments import PretrainingArguments, choose_products
from .checkpoints import find_damage, last_checkpoint

IDENTITY = "pretraining.json"
RECIPE = "recipe.yaml"
PRODUCTS = "cpu_products"
MICRO_BATCHES_HINT = "micro_batches_per_step is gradient_accumulation_steps times processes: keep the product"
MAY_DIFFER_ON_RESUME = (
    # Compared in another form: by content, as steps, as a product with the processes, as what is in use.
    *("eval_data", "max_tokens", "gradient_accumulation_steps", PRODUCTS, "resume", "check_hashes"),
    # When it is saved, and when evaluated; on what, must be equal.
    *("save_strategy", "save_steps", "save_total_limit"),
    *("eval_strategy", "eval_steps", "eval_delay", "eval_on_start", "peak_flops"),
    # What becomes of bad steps is decided when they come: a run that they stopped goes on with another answer.
    *("on_bad_batch", "spike_factor", "max_skipped", "maximum_single_token_share"),
)
# Names that older runs recorded for today's options.
RENAMED_FIELDS = {"batch_ramp_share": "batch_size_warmup_share", "batch_ramp_start": "batch_size_warmup_start"}


def identity_of(
    arguments: PretrainingArguments, shards: TokenShards, eval_shards: TokenShards | None, micro_batches: int
) -> dict[str, Any]:
    """Return what must be equal for a resumed run to be the same run.

    Args:
        arguments: with `max_steps` set
        shards: what it trains on
        eval_shards: what it is evaluated on, or None
        micro_batches: micro-batches of a step, over all processes
    """
    return {
        "tokenizer_hash": shards.manifest["tokenizer_hash"],
        "model": arguments.model if arguments.model in PRESETS else weights_fingerprint(arguments.model),
        "data": shards.fingerprint(),
        "eval_data": None if eval_shards is None else eval_shards.fingerprint(),
        "micro_batches_per_step": micro_batches,
        PRODUCTS: choose_products(arguments),
        **deciding_options(arguments, MAY_DIFFER_ON_RESUME),
        "masking_options": arguments.masking_options and content_of_options(arguments.masking_options),
    }


def find_resume(arguments: PretrainingArguments, identity: dict[str, Any], shards: TokenShards) -> Path | None:
    """Return the checkpoint to go on from, or None for a new run; `identity` takes over the products of the run.

    Raises:
        FileNotFoundError: If the checkpoint named is not there or not complete.
        ValueError: If it belongs to a run of other settings or data.
    """
    if arguments.resume is None:
        return None
    if arguments.resume == "auto":
        chosen = last_checkpoint(Path(arguments.output_dir or ""))
        if chosen is None:
            return None
    else:
        chosen = Path(arguments.resume)
        damage = find_damage(chosen, check_hashes=True)
        if damage is not None:
            raise FileNotFoundError(f"resume={chosen} is not a complete checkpoint: {damage}; give another, or 'auto'")
    old = _in_todays_terms(json.loads((chosen / IDENTITY).read_text(encoding="utf-8")), shards)
    unrecorded = _unrecorded(chosen, identity)
    identity[PRODUCTS] = choose_products(arguments, recorded=old.get(PRODUCTS, unrecorded[PRODUCTS]))
    different = differing_settings(old, identity, unrecorded)
    if different:
        hint = "" if "micro_batches_per_step" not in " ".join(different) else f"; {MICRO_BATCHES_HINT}"
        raise ValueError(f"{chosen} cannot go on exactly under other settings: {'; '.join(different)}{hint}")
    return chosen


def _in_todays_terms(old: Mapping[str, Any], shards: TokenShards) -> dict[str, Any]:
    """Return the identity of an older run under today's names; its stages have the defaults of what they lacked."""
    stage = {field.name: field.default for field in fields(Stage) if field.default is not MISSING}
    named = {RENAMED_FIELDS.get(name, name): value for name, value in old.items()}
    ids = named.pop("shards", None)
    if ids is not None:
        is_same = ids == [entry["files"]["ids"]["sha256"] for entry in shards.manifest["shards"]]
        named["data"] = shards.fingerprint() if is_same else "other shards"
    return {**named, "stages": [{**stage, **given} for given in old["stages"]]}


def _unrecorded(checkpoint: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an older run did not record: options as its recipe says, else defaults; content as it is now."""
    recipe = checkpoint / RECIPE
    given = yaml.safe_load(recipe.read_text(encoding="utf-8")) if recipe.is_file() else None
    defaults = deciding_options(default_arguments(PretrainingArguments), MAY_DIFFER_ON_RESUME)
    recorded = {name: value for name, value in (given or {}).items() if name in defaults}
    content = {name: identity[name] for name in ("model", "eval_data")}
    return {**defaults, **recorded, PRODUCTS: "torch", **content}

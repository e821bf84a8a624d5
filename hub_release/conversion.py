"""Carry checkpoints over between Transformers' ModernBERT and this library; tensors stay as they are, bit for bit.

Parameter names are the same on both sides, so only config.json is translated. Ours reads both norms; Transformers'
`modernbert` has LayerNorm alone, so a model with RMSNorm cannot become native without changing its numbers.
"""

from __future__ import annotations

import inspect
import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, ModernBertConfig

from .. import __version__, modeling
from ..modeling import ChineseModernBertConfig
from ..runtime.files import new_output_folder
from .arguments import ConversionArguments
from .checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    check_shapes,
    drop_tied_decoder,
    parameter_shapes,
    read_config,
    read_model_config,
    read_weights,
    write_json,
    write_weights,
)

logger = logging.getLogger(__name__)

CONVERSION_FILE = "conversion.json"
NATIVE_MODEL_TYPE = ModernBertConfig.model_type
NATIVE_PREFIX, OUR_PREFIX = "ModernBert", "ChineseModernBert"
# What both configs mean by the same name and that no parameter of ours carries: labels and the kind of problem.
LABEL_FIELDS = ("id2label", "label2id", "problem_type")
# Ids that Transformers' ModernBertConfig does not have; the tokenizer knows them.
TOKENIZER_ID_FIELDS = ("unk_token_id", "mask_token_id")
OUR_OWN_FIELDS = ("norm_type", "global_attn_every_n_layers", "global_rope_theta", "local_rope_theta")
CARRIED_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.txt",
    "LICENSE",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
)


def convert_checkpoint(
    source: str | Path,
    output_dir: str | Path,
    native: bool = False,
    allow_norm_change: bool = False,
    overwrite: bool = False,
) -> Path:
    """Convert a checkpoint folder; see `ConversionArguments` for the arguments and `run_conversion` for the rest."""
    return run_conversion(ConversionArguments(str(source), str(output_dir), native, allow_norm_change, overwrite))


def run_conversion(args: ConversionArguments) -> Path:
    """Convert a checkpoint folder.

    Args:
        args: input, output and direction

    Returns:
        The output folder: config.json, one model.safetensors, and the source's tokenizer.

    Raises:
        FileNotFoundError: Where the source, its config or its weights are missing.
        FileExistsError: For an output folder that holds something else.
        ValueError: For another model type, RMSNorm that would have to become LayerNorm, or tensors that do not fit.
    """
    source = Path(args.model)
    if args.native:
        config = read_model_config(source)
        values = native_config_values(config, args.allow_norm_change)
    else:
        values = config_values_from_native(source)
        config = ChineseModernBertConfig(**values)
        values = config.to_dict()
    raw = read_config(source)
    tensors = drop_tied_decoder(read_weights(source), config.tie_word_embeddings)
    our_class = _architecture(raw, tensors)
    check_shapes(tensors, parameter_shapes(getattr(modeling, our_class), config), source)
    values["architectures"] = [our_class.replace(OUR_PREFIX, NATIVE_PREFIX) if args.native else our_class]
    values["dtype"] = _dtype_name(tensors)
    with new_output_folder(args.output_dir, overwrite=args.overwrite, marker=CONVERSION_FILE) as folder:
        write_weights(tensors, folder / WEIGHTS_FILE)
        write_json(folder / CONFIG_FILE, values)
        _carry_files(source, folder)
        record = {
            "source_model_type": raw["model_type"],
            "norm_was_changed": args.native and config.norm_type != "layernorm",
            "library_version": __version__,
        }
        write_json(folder / CONVERSION_FILE, record)
    return Path(args.output_dir)


def config_values_from_native(source: Path) -> dict[str, Any]:
    """Return the keyword arguments of our config for a `modernbert` checkpoint.

    Raises:
        ValueError: For another model type.
    """
    raw = read_config(source)
    if raw.get("model_type") != NATIVE_MODEL_TYPE:
        hint = (
            "; with native it goes the other way" if raw.get("model_type") == ChineseModernBertConfig.model_type else ""
        )
        raise ValueError(f"{source} has model_type={raw.get('model_type')!r}, {NATIVE_MODEL_TYPE!r} is needed{hint}")
    given = ModernBertConfig.from_dict(raw)
    values = {name: getattr(given, name) for name in _our_fields() if hasattr(given, name)}
    values.update({name: getattr(given, name) for name in LABEL_FIELDS if getattr(given, name, None) is not None})
    values.update(_token_ids(source, raw), norm_type="layernorm")
    return values


def native_config_values(config: ChineseModernBertConfig, allow_norm_change: bool = False) -> dict[str, Any]:
    """Return config.json of the plain `modernbert` checkpoint for one of our configs.

    Both spellings of thetas and layer pattern are written, since servers and Transformers before 5 read the older one.

    Raises:
        ValueError: For RMSNorm, unless the change is allowed.
    """
    if config.norm_type != "layernorm" and not allow_norm_change:
        raise ValueError(
            f"norm_type={config.norm_type!r} has no place in a modernbert checkpoint, which has LayerNorm; "
            "release it with its own code, or allow the norm change and fine-tune afterwards"
        )
    if config.norm_type != "layernorm":
        logger.warning("RMSNorm weights go into LayerNorm: the outputs change, fine-tune before use")
    fields = {name: getattr(config, name) for name in _our_fields() if name not in TOKENIZER_ID_FIELDS}
    fields.update({name: getattr(config, name) for name in LABEL_FIELDS if getattr(config, name, None) is not None})
    values = ModernBertConfig(**fields).to_dict()
    values["global_rope_theta"] = config.rope_theta("full_attention")
    values["local_rope_theta"] = config.rope_theta("sliding_attention")
    if any(parameters["rope_type"] != "default" for parameters in config.rope_parameters.values()):
        logger.warning("scaled rotary positions have no older spelling: only Transformers 5 reads them")
    every = _global_layer_distance(config.layer_types)
    if every is None:
        logger.warning(
            "the layer pattern is not 'every n-th layer global': only Transformers 5 reads it from layer_types"
        )
    else:
        values["global_attn_every_n_layers"] = every
    return values


def _our_fields() -> list[str]:
    """Return the fields of our config that Transformers' ModernBertConfig may have as well."""
    names = inspect.signature(ChineseModernBertConfig.__init__).parameters
    return [name for name in names if name not in ("self", "kwargs", *OUR_OWN_FIELDS)]


def _token_ids(source: Path, raw: dict[str, Any]) -> dict[str, int | None]:
    """Return the ids that only a tokenizer knows; `None` where there is no tokenizer either."""
    if all(name in raw for name in TOKENIZER_ID_FIELDS):
        return {name: raw[name] for name in TOKENIZER_ID_FIELDS}
    if not (source / "tokenizer.json").is_file():
        return {name: raw.get(name) for name in TOKENIZER_ID_FIELDS}
    tokenizer = AutoTokenizer.from_pretrained(source)
    return {name: getattr(tokenizer, name) for name in TOKENIZER_ID_FIELDS}


def _global_layer_distance(layer_types: list[str]) -> int | None:
    """Return n where exactly layers 0, n, 2n, ... are global, else `None`."""
    for every in range(1, len(layer_types) + 1):
        if all((kind == "full_attention") == (index % every == 0) for index, kind in enumerate(layer_types)):
            return every
    return None


def _architecture(raw: dict[str, Any], tensors: dict[str, torch.Tensor]) -> str:
    """Return our class for a checkpoint: the one that its config names, else the one that its tensors show."""
    for name in raw.get("architectures") or []:
        ours = OUR_PREFIX + str(name).removeprefix(OUR_PREFIX).removeprefix(NATIVE_PREFIX)
        if ours in modeling.__all__:
            return ours
    has_decoder = any(name.startswith(("head.", "decoder.")) for name in tensors)
    return f"{OUR_PREFIX}ForMaskedLM" if has_decoder else f"{OUR_PREFIX}Model"


def _dtype_name(tensors: dict[str, torch.Tensor]) -> str:
    """Return the name of the tensors' dtype, such as `bfloat16`."""
    return str(next(iter(tensors.values())).dtype).removeprefix("torch.")


def _carry_files(source: Path, folder: Path) -> None:
    """Copy what both kinds of checkpoint share: tokenizer, licence, sentence-transformers modules."""
    for name in CARRIED_FILES:
        if (source / name).is_file():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, folder / name)

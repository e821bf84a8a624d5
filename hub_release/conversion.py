"""Turn a checkpoint of the ModernBERT family into one of ours, or give one of ours a residual stream of mean zero.

Parameter names are the same in Transformers' ModernBERT, so its tensors stay as they are, bit for bit, and config.json
alone is translated. The other way needs no conversion: `release` writes a folder that Transformers loads by itself.
"""

from __future__ import annotations

import copy
import logging
import shutil
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoTokenizer, ModernBertConfig

from .. import __version__, modeling
from ..modeling import ChineseModernBertConfig
from ..runtime.files import new_output_folder
from .arguments import ConversionArguments
from .checkpoint import (
    CONFIG_FILE,
    NATIVE_MODEL_TYPE,
    WEIGHTS_FILE,
    architecture_of,
    check_shapes,
    drop_tied_decoder,
    float_model,
    parameter_shapes,
    read_config,
    read_model_config,
    read_weights,
    without_idle_labels,
    write_json,
    write_weights,
)
from .manifest import write_modeling_files
from .native_form import LABEL_FIELDS, TOKENIZER_ID_FIELDS, shared_fields
from .verification.isolated_check import probe_forward
from .verification.probes import AUTO_CLASSES, probe_inputs

logger = logging.getLogger(__name__)

CONVERSION_FILE = "conversion.json"
# Below this a mean, as a share of a matrix's numbers, is what rounding in float32 leaves.
MEAN_OF_ROUNDING = 1e-6
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
    "1_SpladePooling/config.json",
)


def convert_checkpoint(
    source: str | Path, output_dir: str | Path, zero_mean_residual: bool = False, overwrite: bool = False
) -> Path:
    """Convert a checkpoint folder; see `ConversionArguments` for the arguments and `run_conversion` for the rest."""
    return run_conversion(ConversionArguments(str(source), str(output_dir), zero_mean_residual, overwrite))


def run_conversion(args: ConversionArguments) -> Path:
    """Convert a checkpoint folder.

    Args:
        args: input, output and what to convert

    Returns:
        The output folder: config.json, one model.safetensors, the modeling files, the source's tokenizer, and what was
        changed.

    Raises:
        FileNotFoundError: Where the source, its config or its weights are missing.
        FileExistsError: For an output folder that holds something else.
        ValueError: For another model type, a zero mean that is there already or that layer norms do not need, or
            tensors that do not fit.
    """
    source = Path(args.model)
    raw = read_config(source)
    config = read_model_config(source) if args.zero_mean_residual else config_from_native(source)
    tensors = drop_tied_decoder(read_weights(source), config.tie_word_embeddings)
    our_class = architecture_of(raw, tensors)
    check_shapes(tensors, parameter_shapes(getattr(modeling, our_class), config), source)
    record: dict[str, Any] = {"source_model_type": raw["model_type"], "library_version": __version__}
    if args.zero_mean_residual:
        config, tensors, record["zero_mean_residual"] = with_zero_mean(config, tensors, our_class, source)
    values = {**config.to_dict(), "architectures": [our_class], "dtype": _dtype_name(tensors)}
    with new_output_folder(args.output_dir, overwrite=args.overwrite, marker=CONVERSION_FILE) as folder:
        write_weights(tensors, folder / WEIGHTS_FILE)
        write_json(folder / CONFIG_FILE, without_idle_labels(values, our_class))
        write_modeling_files(folder)
        _carry_files(source, folder)
        write_json(folder / CONVERSION_FILE, record)
    return Path(args.output_dir)


def config_from_native(source: Path) -> ChineseModernBertConfig:
    """Return our config for a `modernbert` checkpoint.

    Raises:
        ValueError: For another model type.
    """
    raw = read_config(source)
    if raw.get("model_type") != NATIVE_MODEL_TYPE:
        ours = raw.get("model_type") == ChineseModernBertConfig.model_type
        hint = "; it is one of ours already, and `release` makes it native" if ours else ""
        raise ValueError(f"{source} has model_type={raw.get('model_type')!r}, {NATIVE_MODEL_TYPE!r} is needed{hint}")
    given = ModernBertConfig.from_dict(raw)
    values = {name: getattr(given, name) for name in shared_fields() if hasattr(given, name)}
    values.update({name: getattr(given, name) for name in LABEL_FIELDS if getattr(given, name, None) is not None})
    values.update(_token_ids(source, raw), norm_type="layernorm")
    return ChineseModernBertConfig(**values)


def with_zero_mean(
    config: ChineseModernBertConfig, tensors: dict[str, torch.Tensor], class_name: str, source: Path
) -> tuple[ChineseModernBertConfig, dict[str, torch.Tensor], dict[str, float]]:
    """Return config and tensors with a residual stream of mean zero, and how far the numbers moved.

    The means are taken out of what writes into the stream, and the norm of the prediction head becomes a LayerNorm.
    That takes one of `hidden_size` dimensions away and changes the model: train it a little further. Weights that had
    the property and lost it (by an adapter that was merged in, or a Trainer without the callback) get it back.

    Args:
        config: configuration of an RMSNorm model
        tensors: its weights
        class_name: our class that they belong to
        source: folder, for messages

    Raises:
        ValueError: For a model that has it already, or whose norms are layer norms.
    """
    if config.norm_type != "rmsnorm":
        raise ValueError(
            f"zero_mean_residual=true for {source}, whose layer norms take the mean out themselves; release it as it is"
        )
    changed = copy.deepcopy(config)
    changed.zero_mean_residual = True
    given, centered = (cast(Any, float_model(which, tensors, class_name)) for which in (config, changed))
    mean = given.residual_mean()
    if config.zero_mean_residual and mean < MEAN_OF_ROUNDING:
        raise ValueError(f"zero_mean_residual=true for {source}, which has it already; release it as it is")
    centered.center_residual()
    with torch.no_grad():
        before, after = (
            probe_forward(AUTO_CLASSES[class_name], model, probe_inputs(config)) for model in (given, centered)
        )
    difference = float((before - after).abs().max() / before.abs().max())
    logger.warning(
        "the residual stream had a mean of %.1e of its size; without it the numbers move by up to %.1e of the largest: "
        "train further before use",
        mean,
        difference,
    )
    kept = {name: centered.state_dict()[name].to(tensor.dtype) for name, tensor in tensors.items()}
    return changed, kept, {"mean_before": mean, "difference": difference}


def _token_ids(source: Path, raw: dict[str, Any]) -> dict[str, int | None]:
    """Return the ids that only a tokenizer knows; `None` where there is no tokenizer either."""
    if all(name in raw for name in TOKENIZER_ID_FIELDS):
        return {name: raw[name] for name in TOKENIZER_ID_FIELDS}
    if not (source / "tokenizer.json").is_file():
        return {name: raw.get(name) for name in TOKENIZER_ID_FIELDS}
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    return {name: getattr(tokenizer, name) for name in TOKENIZER_ID_FIELDS}


def _dtype_name(tensors: dict[str, torch.Tensor]) -> str:
    """Return the name of the tensors' dtype, such as `bfloat16`."""
    return str(next(iter(tensors.values())).dtype).removeprefix("torch.")


def _carry_files(source: Path, folder: Path) -> None:
    """Copy what both kinds of checkpoint share: tokenizer, licence, sentence-transformers modules."""
    for name in CARRIED_FILES:
        if (source / name).is_file():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, folder / name)

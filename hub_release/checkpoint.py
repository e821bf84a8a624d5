"""Read and check a checkpoint folder: config.json and safetensors weights, single or sharded, of any of our classes."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from .. import modeling
from ..modeling import ChineseModernBertConfig
from ..modeling.configuration_chinese_modernbert import NATIVE_MODEL_TYPE
from ..runtime.files import make_as_readable_as_others, write_text_atomically
from ..tokenization.loading import TOKENIZER_FILE, check_vocabulary, load_tokenizer
from .json_forms import strict_json

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
WEIGHTS_INDEX_FILE = "model.safetensors.index.json"
TIED_PARAMETER = "decoder.weight"
EMBEDDING_PARAMETER = "model.embeddings.tok_embeddings.weight"
ENCODER_PREFIX = "model."
HEAD_PREFIXES = ("head.", "decoder.")
NATIVE_PREFIX, OUR_PREFIX = "ModernBert", "ChineseModernBert"
MASKED_LM = f"{OUR_PREFIX}ForMaskedLM"
TOKEN_ROLES = ("pad", "unk", "cls", "sep", "mask")
# Names of the checkpoints that a run writes into its own folder; `final` is the last one, beside it its average.
AVERAGED = "final_averaged"
CHECKPOINT_NAME = re.compile(rf"checkpoint-\d+|final|{AVERAGED}")


def check_is_checkpoint(folder: str | Path) -> None:
    """Check that a folder holds a model, without reading anything.

    Raises:
        FileNotFoundError: Where the folder or its config.json is missing.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"checkpoint {folder} is not a folder; give the folder that holds {CONFIG_FILE}")
    if not (Path(folder) / CONFIG_FILE).is_file():
        raise FileNotFoundError(f"checkpoint {folder} has no {CONFIG_FILE}; give the folder of one saved model")


def read_config(folder: str | Path) -> dict[str, Any]:
    """Return the keys of a checkpoint's config.json.

    Raises:
        FileNotFoundError: Where the folder or its config.json is missing.
        ValueError: For a config.json that is not a JSON object.
    """
    check_is_checkpoint(folder)
    return read_json_object(Path(folder) / CONFIG_FILE)


def record_folders(checkpoint: Path) -> list[Path]:
    """Return where a run keeps records: the checkpoint, and above one of `CHECKPOINT_NAME` the run's folder."""
    checkpoint = checkpoint.resolve()
    return [checkpoint, checkpoint.parent] if CHECKPOINT_NAME.fullmatch(checkpoint.name) else [checkpoint]


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        ValueError: For broken JSON, or JSON that is not an object.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a JSON {type(value).__name__}, an object is needed; save the checkpoint again")
    return value


def read_json_list(path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of a list in a file.

    Raises:
        ValueError: For broken JSON, or JSON that is not a list of objects.
    """
    value = read_json(path)
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ValueError(f"{path} holds no list of JSON objects; write it again")
    return value


def read_json(path: Path) -> Any:
    """Return the value of a JSON file.

    Raises:
        ValueError: For broken JSON, or JSON that not every reader reads alike, in one line.
    """
    try:
        return strict_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); save the checkpoint again") from error


def write_json(path: Path, value: dict[str, Any] | list[Any]) -> None:
    """Write JSON with a fixed layout, so that equal values give equal bytes; the file is whole or not there."""
    write_text_atomically(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def read_model_config(folder: str | Path) -> ChineseModernBertConfig:
    """Return the configuration of one of our checkpoints or releases, of the native form too.

    Raises:
        FileNotFoundError: Where the folder or its config.json is missing.
        ValueError: For another model type or fields that do not fit.
    """
    given, ours = read_config(folder), ChineseModernBertConfig.model_type
    kind = given.get("model_type")
    # A plain ModernBERT does not say which token is the mask; what we write does.
    if kind != ours and (kind != NATIVE_MODEL_TYPE or "mask_token_id" not in given):
        hint = "; convert it first" if kind == NATIVE_MODEL_TYPE else ""
        raise ValueError(f"checkpoint {folder} has model_type={kind!r}, {ours!r} is needed{hint}")
    values, _ = ChineseModernBertConfig.get_config_dict(str(folder))
    return ChineseModernBertConfig.from_dict(values)


def without_idle_labels(values: dict[str, Any], class_name: str) -> dict[str, Any]:
    """Return the values of a config without the two default labels of a model that has none.

    Written down, they make Transformers warn whoever loads the model as a classifier of another number of labels. A
    classifier keeps them: other runtimes answer by them.
    """
    is_idle = "Classification" not in class_name and values.get("id2label") == ChineseModernBertConfig().id2label
    return {name: value for name, value in values.items() if not is_idle or name not in ("id2label", "label2id")}


def architecture_of(values: dict[str, Any], tensors: dict[str, torch.Tensor]) -> str:
    """Return the name of our class for a checkpoint: the one that its config names, else what its tensors show."""
    for name in values.get("architectures") or []:
        ours = OUR_PREFIX + str(name).removeprefix(OUR_PREFIX).removeprefix(NATIVE_PREFIX)
        if ours in modeling.__all__:
            return ours
    has_decoder = any(name.startswith(HEAD_PREFIXES) for name in tensors)
    return f"{OUR_PREFIX}ForMaskedLM" if has_decoder else f"{OUR_PREFIX}Model"


def read_weights(folder: str | Path) -> dict[str, torch.Tensor]:
    """Return every tensor of a checkpoint, by name, in the dtype it was saved in.

    Args:
        folder: holds model.safetensors, or model.safetensors.index.json with its shards

    Raises:
        FileNotFoundError: Where there are no safetensors weights or a shard is missing.
        ValueError: For a file that is cut off or lacks a tensor that the index promises.
    """
    folder = Path(folder)
    if (folder / WEIGHTS_FILE).is_file():
        return read_tensors(folder / WEIGHTS_FILE)
    if not (folder / WEIGHTS_INDEX_FILE).is_file():
        raise FileNotFoundError(
            f"checkpoint {folder} has no {WEIGHTS_FILE}; only safetensors weights are read, save it so"
        )
    return _read_shards(folder)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of one file; a half-written one fails here and not at its first use."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in sorted(file.keys())}
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a whole safetensors file ({error}); save or copy the checkpoint again"
        ) from error


def _read_shards(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a sharded checkpoint, checked against its index."""
    weight_map = read_json_object(folder / WEIGHTS_INDEX_FILE).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ValueError(f"{folder / WEIGHTS_INDEX_FILE} has no weight_map; save the checkpoint again")
    tensors: dict[str, torch.Tensor] = {}
    for shard in sorted(set(weight_map.values())):
        if Path(shard).name != shard:
            raise ValueError(f"{folder / WEIGHTS_INDEX_FILE} names {shard!r}, a plain file name is needed")
        if not (folder / shard).is_file():
            raise FileNotFoundError(f"checkpoint {folder} lacks the shard {shard}; copy the checkpoint again")
        tensors.update(read_tensors(folder / shard))
    missing = sorted(set(weight_map) - set(tensors))
    if missing:
        raise ValueError(
            f"the shards of {folder} lack {_some(missing)}, which the index names; save the checkpoint again"
        )
    return dict(sorted(tensors.items()))


def write_weights(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write tensors as one safetensors file, as readable as its neighbours; equal tensors give equal bytes.

    Raises:
        OSError: Where the disk is full or may not be written to.
    """
    ordered = {name: tensors[name].contiguous() for name in sorted(tensors)}
    try:
        save_file(ordered, str(path), metadata={"format": "pt"})
    except SafetensorError as error:  # what the library makes of every error of the system
        raise OSError(f"{path.name} could not be written ({error}); make room, or write to another disk") from error
    make_as_readable_as_others(path)


def drop_tied_decoder(tensors: dict[str, torch.Tensor], is_tied: bool) -> dict[str, torch.Tensor]:
    """Return the tensors without a decoder matrix that only repeats the embedding.

    Raises:
        ValueError: Where the config says tied and the two matrices differ.
    """
    if not is_tied or TIED_PARAMETER not in tensors:
        return dict(tensors)
    if EMBEDDING_PARAMETER in tensors and not torch.equal(tensors[TIED_PARAMETER], tensors[EMBEDDING_PARAMETER]):
        raise ValueError(
            f"tie_word_embeddings is true but {TIED_PARAMETER} differs from {EMBEDDING_PARAMETER}; "
            "set tie_word_embeddings to false in config.json if the decoder was trained apart"
        )
    return {name: tensor for name, tensor in tensors.items() if name != TIED_PARAMETER}


def parameter_shapes(model_class: type[PreTrainedModel], config: ChineseModernBertConfig) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor that a saved model of this class and config holds."""
    with torch.device("meta"):
        model = model_class(copy.deepcopy(config))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        shapes.pop(TIED_PARAMETER, None)
    return shapes


def check_weights(
    tensors: dict[str, torch.Tensor], class_name: str, config: ChineseModernBertConfig, folder: str | Path
) -> None:
    """Check that the tensors are a whole, finite model of a class and a config.

    Raises:
        ValueError: For missing, superfluous, misshapen or non-finite tensors.
    """
    expected = parameter_shapes(getattr(modeling, class_name), config)
    missing = sorted(set(expected) - set(tensors))
    if missing and class_name == MASKED_LM and all(name.startswith(HEAD_PREFIXES) for name in missing):
        raise ValueError(
            f"checkpoint {folder} lacks the masked-language-model head ({_some(missing)}); "
            f"use a checkpoint saved from {MASKED_LM}"
        )
    check_shapes(tensors, expected, folder)
    for name in expected:
        if not bool(torch.isfinite(tensors[name]).all()):
            raise ValueError(f"{name} of {folder} holds NaN or infinity; release an earlier checkpoint")


def check_shapes(tensors: dict[str, torch.Tensor], expected: dict[str, tuple[int, ...]], folder: str | Path) -> None:
    """Check names and shapes of a checkpoint's tensors.

    Raises:
        ValueError: For missing, superfluous or misshapen tensors.
    """
    missing = sorted(set(expected) - set(tensors))
    if missing:
        raise ValueError(f"checkpoint {folder} is incomplete, {_some(missing)} missing; save or copy it again")
    unknown = sorted(set(tensors) - set(expected))
    if unknown:
        raise ValueError(f"checkpoint {folder} holds {_some(unknown)}, which its {CONFIG_FILE} has no place for")
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            given = tuple(tensors[name].shape)
            raise ValueError(f"{name} of {folder} has shape {given}, its {CONFIG_FILE} wants {shape}")


def float_model(config: ChineseModernBertConfig, tensors: dict[str, torch.Tensor], class_name: str) -> PreTrainedModel:
    """Return a local model with a checkpoint's tensors, float32, in evaluation mode."""
    # A copy, since Transformers writes dtype and attention kind into the config that it is given.
    model: PreTrainedModel = getattr(modeling, class_name)(copy.deepcopy(config)).float()
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    return model.eval()


def read_matching_tokenizer(checkpoint: str | Path, config: ChineseModernBertConfig) -> PreTrainedTokenizerFast:
    """Return the checkpoint's tokenizer, checked against its config.

    Raises:
        FileNotFoundError: Where the checkpoint has no tokenizer.
        ValueError: For another vocabulary size or other ids of the special tokens.
    """
    if not (Path(checkpoint) / TOKENIZER_FILE).is_file():
        raise FileNotFoundError(
            f"checkpoint {checkpoint} has no {TOKENIZER_FILE}; copy the tokenizer of its training run into it"
        )
    tokenizer = load_tokenizer(checkpoint)
    check_vocabulary(tokenizer, config.vocab_size)
    for role in TOKEN_ROLES:
        in_config, in_tokenizer = getattr(config, f"{role}_token_id"), getattr(tokenizer, f"{role}_token_id")
        if in_config != in_tokenizer:
            raise ValueError(
                f"{role}_token_id is {in_config} in {checkpoint}/{CONFIG_FILE} and {in_tokenizer} in its tokenizer; "
                "use the tokenizer that the model was trained with"
            )
    return tokenizer


def _some(names: list[str], shown: int = 3) -> str:
    """Return the first names and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more

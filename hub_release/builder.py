"""Turn a checkpoint into the folder that goes to the Hub.

The folder needs nothing of this package: weights with the masked-language-model head, a config whose `auto_map` names
every class, a stock fast tokenizer, the modeling files byte for byte, sentence-transformers modules and a model card.
The same checkpoint gives the same bytes.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import torch

from .. import modeling
from ..modeling import ChineseModernBertConfig
from ..runtime.files import new_output_folder
from ..tokenization.loading import save_tokenizer
from .arguments import ReleaseArguments
from .card.evaluation_facts import read_evaluations
from .card.model_card import CARD_FILE, render_model_card
from .card.tokenizer_facts import read_tokenizer_metrics
from .card.training_facts import read_training
from .checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    check_masked_lm_weights,
    drop_tied_decoder,
    read_matching_tokenizer,
    read_model_config,
    read_weights,
    record_folders,
    write_json,
    write_weights,
)
from .manifest import MANIFEST_FILE, modeling_files, write_release_manifest
from .onnx.files import ONNX_FOLDER, float_model, write_onnx_folder
from .provenance import PROVENANCE_FILE, write_provenance, yaml_without_local_folders

RELEASE_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LICENSE_FILE = "LICENSE"
MODULES_FILE = "modules.json"
# Files that tell how the checkpoint came about; looked for in the checkpoint, then in the run folder above it.
RECORD_FILES = ("recipe.yaml", "masking.yaml")
# For any shape, the more exact one first.
EMBEDDING_GRAPHS = ("model_embedding.onnx", "model_embedding_qint8.onnx")
# The old spelling of the module paths and keys: every release of sentence-transformers so far reads it.
TRANSFORMER_MODULE = "sentence_transformers.models.Transformer"
POOLING_MODULE = "sentence_transformers.models.Pooling"
NORMALIZE_MODULE = "sentence_transformers.models.Normalize"


def build_release(args: ReleaseArguments) -> Path:
    """Write the Hub folder of a checkpoint.

    Args:
        args: what to release; see `ReleaseArguments`

    Returns:
        The folder, complete; where anything fails nothing is left behind.

    Raises:
        FileNotFoundError: For a missing checkpoint, config, weights, tokenizer or report.
        FileExistsError: For an output folder that holds something else.
        ValueError: For a checkpoint whose parts do not fit together, or a report about other weights.
    """
    config = read_model_config(args.model)
    if args.max_length > config.max_position_embeddings:
        raise ValueError(
            f"max_length={args.max_length} is more than the model's max_position_embeddings="
            f"{config.max_position_embeddings}; use that or less"
        )
    tokenizer = read_matching_tokenizer(args.model, config)
    tensors, output_dir = _read_tensors(args, config), Path(args.output_dir)
    with new_output_folder(output_dir, overwrite=args.overwrite, marker=MANIFEST_FILE) as folder:
        _write_model(folder, config, tensors, args.dtype)
        evaluations = read_evaluations(args.clue_report, args.sts_report, (Path(args.model), folder))
        tokenizer_metrics = read_tokenizer_metrics(args.tokenizer_report, tokenizer)
        tokenizer.model_max_length = config.max_position_embeddings
        save_tokenizer(tokenizer, folder)
        _write_sentence_encoder(folder, config, args)
        _copy_records(folder, Path(args.model))
        provenance = write_provenance(Path(args.model), folder)
        (folder / LICENSE_FILE).write_bytes(_license_bytes(Path(args.model)))
        if options := args.onnx_options():
            write_onnx_folder(folder / ONNX_FOLDER, float_model(config, tensors), tokenizer, options)
        card = render_model_card(
            name=args.model_name or output_dir.resolve().name,
            config=config,
            parameter_sizes={name: tensor.numel() for name, tensor in tensors.items()},
            dtype=args.dtype,
            license_id=args.license_id,
            training=read_training(Path(args.model), folder),
            record_files=[name for name in (*RECORD_FILES, PROVENANCE_FILE) if (folder / name).is_file()],
            provenance=provenance,
            evaluations=evaluations,
            tokenizer_metrics=tokenizer_metrics,
            onnx_graph=next((name for name in EMBEDDING_GRAPHS if (folder / ONNX_FOLDER / name).is_file()), ""),
        )
        (folder / CARD_FILE).write_text(card, encoding="utf-8")
        write_release_manifest(folder, args.dtype)
    return output_dir


def _read_tensors(args: ReleaseArguments, config: ChineseModernBertConfig) -> dict[str, torch.Tensor]:
    """Return the checkpoint's tensors, checked, without a tied decoder, in the data type of the release."""
    tensors = drop_tied_decoder(read_weights(args.model), config.tie_word_embeddings)
    check_masked_lm_weights(tensors, config, args.model)
    return {name: tensor.to(RELEASE_DTYPES[args.dtype]) for name, tensor in tensors.items()}


def _write_model(folder: Path, config: ChineseModernBertConfig, tensors: dict[str, torch.Tensor], dtype: str) -> None:
    """Write weights, config and the modeling files."""
    write_weights(tensors, folder / WEIGHTS_FILE)
    values = config.to_dict()
    values.update(
        # Taken anew, not from the checkpoint: a config that was loaded as remote code names its repository there.
        auto_map=dict(ChineseModernBertConfig().auto_map),
        architectures=["ChineseModernBertForMaskedLM"],
        dtype=dtype,
    )
    for key in ("torch_dtype", "_name_or_path", "_attn_implementation", "attn_implementation"):
        values.pop(key, None)
    write_json(folder / CONFIG_FILE, values)
    for path in modeling_files():
        (folder / path.name).write_bytes(path.read_bytes())


def _write_sentence_encoder(folder: Path, config: ChineseModernBertConfig, args: ReleaseArguments) -> None:
    """Write the modules of sentence-transformers: the model, a mean over tokens, and length 1 where asked."""
    modules = [("", TRANSFORMER_MODULE), ("1_Pooling", POOLING_MODULE)]
    if args.normalize:
        modules.append(("2_Normalize", NORMALIZE_MODULE))
    rows = [
        {"idx": index, "name": str(index), "path": path, "type": kind} for index, (path, kind) in enumerate(modules)
    ]
    write_json(folder / MODULES_FILE, rows)
    length = args.max_length or config.max_position_embeddings
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": False})
    pooling = {
        "word_embedding_dimension": config.hidden_size,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / CONFIG_FILE, pooling)
    encoder = {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    write_json(folder / "config_sentence_transformers.json", encoder)


def _copy_records(folder: Path, checkpoint: Path) -> None:
    """Copy recipe and masking preset where the run recorded them, without the paths of the machine it ran on."""
    for name in RECORD_FILES:
        for source in record_folders(checkpoint):
            if (source / name).is_file():
                try:
                    text = yaml_without_local_folders((source / name).read_text(encoding="utf-8"))
                except ValueError as error:
                    raise ValueError(f"{source / name} is {error}") from error
                (folder / name).write_text(text, encoding="utf-8")
                break


def _license_bytes(checkpoint: Path) -> bytes:
    """Return the licence text: the checkpoint's own, else this library's, which also covers the modeling files.

    Raises:
        FileNotFoundError: Where neither is found.
    """
    candidates = [checkpoint / LICENSE_FILE, Path(modeling.__file__).parents[1] / LICENSE_FILE]
    for path in candidates:
        if path.is_file():
            return path.read_bytes()
    for file in importlib.metadata.files("chinese-modernbert") or []:
        if file.name == LICENSE_FILE:
            return file.read_binary()
    raise FileNotFoundError(f"no {LICENSE_FILE} in checkpoint {checkpoint} nor in the installed package; add one to it")

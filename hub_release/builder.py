"""Turn a checkpoint of any of our classes into the folder that goes to the Hub.

The folder needs nothing of this package: weights, a config whose `auto_map` names every class and which, where the
numbers allow it, is that of Transformers' own ModernBERT, a stock fast tokenizer, the modeling files byte for byte,
sentence-transformers modules and a model card. The same checkpoint gives the same bytes.
"""

from __future__ import annotations

import importlib.metadata
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from .. import modeling
from ..modeling import ChineseModernBertConfig
from ..modeling.filling_chinese_modernbert import CUSTOM_PIPELINES
from ..runtime.files import new_output_folder
from ..runtime.text_files import read_text
from ..tokenization.loading import save_tokenizer
from .arguments import ReleaseArguments
from .card.evaluation_facts import read_evaluations
from .card.model_card import CARD_FILE, render_model_card
from .card.tokenizer_facts import read_tokenizer_metrics
from .card.training_facts import read_training
from .checkpoint import (
    CONFIG_FILE,
    MASKED_LM,
    WEIGHTS_FILE,
    architecture_of,
    check_weights,
    drop_tied_decoder,
    float_model,
    read_config,
    read_matching_tokenizer,
    read_model_config,
    read_weights,
    record_folders,
    without_idle_labels,
    write_json,
    write_weights,
)
from .contents import CONFIG, RECORD_FILES
from .kinds import ENCODER_CLASSES, kind_of
from .manifest import MANIFEST_FILE, write_modeling_files, write_release_manifest
from .module_chains import encoder_folder
from .native_form import NativeForm, find_native_form, native_class_name, native_config_values
from .onnx.files import ONNX_FOLDER, write_onnx_folder
from .poolings import DENSE_POOLINGS, SPLADE
from .provenance import PROVENANCE_FILE, base_model_of, write_provenance, yaml_without_local_folders
from .sentence_modules import SentenceModules, check_no_span_head, check_reranker
from .verification.security import content_faults, name_faults

logger = logging.getLogger(__name__)

RELEASE_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LICENSE_FILE = "LICENSE"
# For any shape, the more exact one first.
EMBEDDING_GRAPHS = ("model_embedding.onnx", "model_embedding_quantized.onnx")


@dataclass(frozen=True)
class ReleasedModel:
    """A checkpoint as it will be released.

    Attributes:
        class_name: our class
        config: configuration of the checkpoint
        tensors: weights in the data type of the release, without a tied decoder
        tokenizer: the checkpoint's
        sentence_modules: how it becomes a sentence encoder; None for a model that is none
        native: whether Transformers' own class may load it
    """

    class_name: str
    config: ChineseModernBertConfig
    tensors: dict[str, torch.Tensor]
    tokenizer: PreTrainedTokenizerFast
    sentence_modules: SentenceModules | None
    native: NativeForm


def build_release(args: ReleaseArguments) -> Path:
    """Write the Hub folder of a checkpoint.

    Args:
        args: what to release; see `ReleaseArguments`

    Returns:
        The folder, complete; where anything fails nothing is left behind.

    Raises:
        FileNotFoundError: For a missing checkpoint, config, weights, tokenizer or report.
        FileExistsError: For an output folder that holds something else.
        ValueError: For a checkpoint whose parts do not fit together or that holds what no release does, or a report
            about other weights.
    """
    model, output_dir = read_model(args), Path(args.output_dir)
    config, tensors, tokenizer = model.config, model.tensors, model.tokenizer
    with new_output_folder(output_dir, overwrite=args.overwrite, marker=MANIFEST_FILE) as folder:
        _write_model(folder, model, args.dtype)
        evaluations = read_evaluations(
            args.clue_report,
            args.sts_report,
            (encoder_folder(args.model), folder),
            args.retrieval_report,
            Path(args.model),
            model.sentence_modules.similarity if model.sentence_modules else "",
        )
        tokenizer_metrics = read_tokenizer_metrics(args.tokenizer_report, tokenizer)
        tokenizer.model_max_length = config.max_position_embeddings
        save_tokenizer(tokenizer, folder)
        if model.sentence_modules:
            model.sentence_modules.write(folder, config, tokenizer)
        _copy_records(folder, Path(args.model))
        provenance = write_provenance(Path(args.model), folder, args.model_name)
        (folder / LICENSE_FILE).write_bytes(_license_bytes(Path(args.model)))
        _write_graphs(folder, model, args)
        card = render_model_card(
            name=args.model_name or output_dir.resolve().name,
            kind=kind_of(model.class_name, config, model.sentence_modules),
            config=config,
            native=model.native,
            parameter_sizes={name: tensor.numel() for name, tensor in tensors.items()},
            dtype=args.dtype,
            license_id=args.license_id,
            training=read_training(Path(args.model), folder),
            record_files=_record_files(folder, provenance),
            provenance=provenance,
            evaluations=evaluations,
            tokenizer_metrics=tokenizer_metrics,
            onnx_graph=next((name for name in EMBEDDING_GRAPHS if (folder / ONNX_FOLDER / name).is_file()), ""),
            base_model=args.base_model or base_model_of(provenance),
            notes=read_text(Path(args.notes)) if args.notes else "",
        )
        (folder / CARD_FILE).write_text(card, encoding="utf-8")
        write_release_manifest(folder, args.dtype, model.native.summary())
        _check_contents(folder)
    return output_dir


def _write_graphs(folder: Path, model: ReleasedModel, args: ReleaseArguments) -> None:
    """Write the ONNX graphs that are asked for."""
    if options := args.onnx_options():
        modules = model.sentence_modules or SentenceModules()
        float32 = float_model(model.config, model.tensors, model.class_name)
        write_onnx_folder(folder / ONNX_FOLDER, float32, model.tokenizer, options, modules=modules)


def read_model(args: ReleaseArguments) -> ReleasedModel:
    """Read and check a checkpoint, and find out whether Transformers' own class may load its release.

    Raises:
        FileNotFoundError: For a missing checkpoint, config, weights or tokenizer.
        ValueError: For a checkpoint whose parts do not fit together, or options that do not fit it.
    """
    encoder = encoder_folder(args.model)
    config = read_model_config(encoder)
    if args.max_length > config.max_position_embeddings:
        raise ValueError(
            f"max_length={args.max_length} is more than the model's max_position_embeddings="
            f"{config.max_position_embeddings}; use that or less"
        )
    tokenizer = read_matching_tokenizer(encoder, config)
    tensors = drop_tied_decoder(read_weights(encoder), config.tie_word_embeddings)
    class_name = architecture_of(read_config(encoder), tensors)
    check_weights(tensors, class_name, config, encoder)
    check_no_span_head(Path(args.model))
    tensors = {name: tensor.to(RELEASE_DTYPES[args.dtype]) for name, tensor in tensors.items()}
    native = find_native_form(config, tensors, class_name, args.dtype)
    if native.fault:
        logger.warning("the release loads with its own code alone: %s", native.fault)
    modules = _sentence_modules(args, class_name)
    if modules:
        modules.check(config, tokenizer, Path(args.model))
        modules = modules.to(RELEASE_DTYPES[args.dtype])
    return ReleasedModel(class_name, config, tensors, tokenizer, modules, native)


def _sentence_modules(args: ReleaseArguments, class_name: str) -> SentenceModules | None:
    """Return how the release becomes a sentence encoder: as its checkpoint says, else a mean over tokens.

    Raises:
        ValueError: For options about sentence embeddings where the model gives none, or modules of other kinds.
    """
    if class_name not in ENCODER_CLASSES:
        check_reranker(Path(args.model))
        for name in ("pooling", "normalize", "max_length"):
            if getattr(args, name):
                raise ValueError(f"{name} is about sentence embeddings, which {class_name} does not give; leave it out")
        return None
    modules = SentenceModules.read(Path(args.model)) or SentenceModules()
    if args.pooling and args.pooling != modules.pooling:
        if modules.is_two_sided:
            raise ValueError(f"pooling={args.pooling} does not fit the modules of {args.model}; leave it out")
        dense = replace(modules, pooling=args.pooling, similarity=SentenceModules.similarity, modules=())
        modules = SentenceModules.sparse(modules) if args.pooling == SPLADE else dense
    normalize = modules.normalize or args.normalize
    if (modules.modules and normalize) or (modules.is_sparse and class_name != MASKED_LM):
        wrong = "normalize is for dense embeddings" if normalize else f"{class_name} has no logits of a masked token"
        raise ValueError(f"pooling={modules.pooling} does not fit, {wrong}; take {' or '.join(DENSE_POOLINGS)}")
    return replace(modules, normalize=normalize, max_length=args.max_length or modules.max_length)


def _write_model(folder: Path, model: ReleasedModel, dtype: str) -> None:
    """Write weights, config and the modeling files."""
    write_weights(model.tensors, folder / WEIGHTS_FILE)
    if model.native.fault:
        values, class_name = model.config.to_dict(), model.class_name
    else:
        values, class_name = native_config_values(model.config), native_class_name(model.class_name)
    values.update(
        # Taken anew, not from the checkpoint: a config that was loaded as remote code names its repository there.
        auto_map=ChineseModernBertConfig(architectures=[model.class_name]).to_dict()["auto_map"],
        architectures=[class_name],
        dtype=dtype,
    )
    if kind_of(model.class_name, model.config, model.sentence_modules).fills_words:
        values["custom_pipelines"] = CUSTOM_PIPELINES
    # What a checkpoint or another version of Transformers says besides may lead a reader to code; see `contents`.
    values = {name: value for name, value in values.items() if name in CONFIG}
    write_json(folder / CONFIG_FILE, without_idle_labels(values, model.class_name))
    write_modeling_files(folder)


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


def _record_files(folder: Path, provenance: dict[str, Any]) -> list[str]:
    """Return the records of the run that a release holds; a provenance of the release's name alone is none."""
    names = (*RECORD_FILES, *([PROVENANCE_FILE] if provenance.keys() - {"name"} else []))
    return [name for name in names if (folder / name).is_file()]


def _check_contents(folder: Path) -> None:
    """Refuse a release that its own verification would refuse, such as one with settings of an unknown tokenizer.

    Raises:
        ValueError: With what a release has no place for.
    """
    if faults := [*name_faults(folder), *content_faults(folder)]:
        raise ValueError(f"a release has no place for what the checkpoint holds ({'; '.join(faults)}); take it out")


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

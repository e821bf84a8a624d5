"""Sentence encoders as training and comparison need them: loaded, or with fresh weights."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.transformer import TransformerTask
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import PreTrainedModel, set_seed

from ...evaluation.retrieval.expansion import tokenizers_of
from ...evaluation.retrieval.loading import (
    AUTO_CLASSES,
    encoder_place,
    load_search_model,
    search_class,
    take_own_classes,
)
from ...modeling import ChineseModernBertConfig
from ...modeling.loading import own_config
from ...runtime.options import default_of
from ...tokenization.loading import TOKENIZER_FILE, save_tokenizer
from .arguments import DenseArguments, StageArguments

MODULES_FILE, CONFIG_FILE = "modules.json", "config.json"


def is_encoder_folder(folder: str | Path) -> bool:
    """Return whether a folder holds a checkpoint of Transformers or a model of sentence-transformers."""
    return any((Path(folder) / name).is_file() for name in (CONFIG_FILE, MODULES_FILE))


def load_encoder(folder: str | Path, arguments: DenseArguments) -> SentenceTransformer:
    """Return a sentence encoder with float32 weights: as a folder describes it, or with the pooling of the arguments.

    A folder of a sentence encoder is loaded as it is, others get pooling over the last hidden states. Our own
    architecture never needs `trust_remote_code`: this package's classes stand for the code in the folder.
    """
    prompts = {"query": arguments.query_prompt, "document": arguments.document_prompt}
    if (Path(folder) / MODULES_FILE).is_file() and search_class(folder) is SentenceTransformer:
        own: dict[str, Any] = {"prompts": prompts} if any(prompts.values()) else {}
        options: dict[str, Any] = {"dtype": torch.float32}
        model = SentenceTransformer(
            str(folder), trust_remote_code=arguments.trust_remote_code, model_kwargs=options, **own
        )
        return take_own_classes(model, folder)
    transformer = new_transformer(folder, arguments, "feature-extraction")
    dimension: Any = transformer.get_embedding_dimension()
    pooling = Pooling(dimension, "cls" if arguments.pooling == "cls" else "mean")
    modules = [transformer, pooling, *([Normalize()] if arguments.normalize else [])]
    return SentenceTransformer(modules=modules, prompts=prompts)


def load_kind(folder: str | Path, kind: type[Any], trust_remote_code: bool, **options: Any) -> Any | None:
    """Return the model of a folder that sentence-transformers saved, None where it saved none or one of another kind.

    Args:
        folder: a folder
        kind: class of sentence-transformers
        trust_remote_code: whether code of others that lies in the folder is run
        options: further arguments of the class, such as `prompts`
    """
    if not (Path(folder) / MODULES_FILE).is_file() or search_class(folder) is not kind:
        return None
    return load_search_model(folder, trust_remote_code, **options)


def refuse_other(folder: str | Path, arguments: StageArguments, found: Mapping[str, Any]) -> None:
    """Refuse options of a new model that one which is kept as it is contradicts, since they would do nothing.

    Args:
        folder: of the model
        arguments: of the command
        found: what the model has, by option

    Raises:
        ValueError: For the first such option.
    """
    for option in dataclasses.fields(arguments):
        given = getattr(arguments, option.name)
        if option.name in found and given not in (default_of(option), found[option.name]):
            raise ValueError(
                f"{option.name}={given} says how a model is made, and {folder} is one already, with "
                f"{option.name}={found[option.name]}; leave it out, or give the checkpoint that it was made of"
            )


def pooling_of(model: SentenceTransformer) -> dict[str, Any]:
    """Return how a sentence encoder makes a vector of hidden states, as the options that say so."""
    pooling: Any = next((one for one in model.children() if isinstance(one, Pooling)), None)
    is_normalized = any(isinstance(one, Normalize) for one in model.children())
    return {"pooling": pooling and pooling.pooling_mode, "normalize": is_normalized}


def new_transformer(folder: str | Path, arguments: StageArguments, task: TransformerTask, **config: Any) -> Transformer:
    """Return the encoder of a checkpoint, a release or a sentence encoder with the head of a task, float32.

    Args:
        folder: where it lies; pooling and what else follows the encoder is left out
        arguments: of the command
        task: of sentence-transformers, such as `feature-extraction` or `sequence-classification`
        config: fields of its configuration to change, such as `num_labels`

    Raises:
        ValueError: If there is no encoder in the folder.
    """
    code, place = {"trust_remote_code": arguments.trust_remote_code}, encoder_place(folder)
    module = Transformer(
        str(place),
        transformer_task=task,
        model_kwargs={"dtype": torch.float32, **code},
        config_kwargs={**config, **code},
        processor_kwargs=code,
    )
    own = own_config(str(place), **config)
    if own is not None and not isinstance(module.model.config, ChineseModernBertConfig):
        made = AUTO_CLASSES[task]  # by our configuration, ours
        module.model = made.from_pretrained(place, config=own, trust_remote_code=False, dtype=torch.float32)
    return module


def save_model(model: Any, folder: Path) -> None:
    """Write a model of any kind for sentence-transformers; of one of ours the code lies beside it.

    Tokenizers are written again, since the library keeps the last call's truncation and padding in its files.
    """
    model.save(str(folder))
    for tokenizer in tokenizers_of(model)[:1]:  # static embeddings have a bare one; the sides of a router have the same
        for file in list(folder.rglob(TOKENIZER_FILE)):
            save_tokenizer(tokenizer, file.parent)


def transformer_of(model: Any) -> PreTrainedModel | None:
    """Return the Transformers model inside a model of sentence-transformers; static embeddings have none."""
    return next((module.model for module in model.modules() if isinstance(module, Transformer)), None)


def limit_length(model: Any, longest: int) -> None:
    """Let a model read texts of up to so many tokens; of one with a router the library would set the router alone.

    Args:
        model: of any kind, which is changed
        longest: in tokens, with the special ones
    """
    for tokenizer in tokenizers_of(model):
        tokenizer.model_max_length = longest


def untrained_twin(model: SentenceTransformer, seed: int) -> SentenceTransformer | None:
    """Return the same encoder with fresh weights, or None where there is no Transformers model inside."""
    inner = transformer_of(model)
    if inner is None:
        return None
    twin = copy.deepcopy(model)
    set_seed(seed)
    module: Any = twin[0]
    make: Any = type(inner)
    module.model = make(copy.deepcopy(inner.config)).to(device=inner.device, dtype=inner.dtype)
    return twin.eval()

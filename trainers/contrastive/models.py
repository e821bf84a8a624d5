"""Sentence encoders as training and comparison need them: loaded, or with fresh weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, cast

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import PreTrainedModel, set_seed

from ...evaluation.retrieval.expansion import tokenizers_of
from ...modeling import ChineseModernBertModel
from ...modeling.loading import own_config
from ...tokenization.loading import TOKENIZER_FILE, save_tokenizer
from .arguments import DenseArguments

MODULES_FILE, CONFIG_FILE = "modules.json", "config.json"


def is_encoder_folder(folder: str | Path) -> bool:
    """Return whether a folder holds a checkpoint of Transformers or a model of sentence-transformers."""
    return any((Path(folder) / name).is_file() for name in (CONFIG_FILE, MODULES_FILE))


def load_encoder(folder: str | Path, arguments: DenseArguments) -> SentenceTransformer:
    """Return a sentence encoder with float32 weights: as a folder describes it, or with the pooling of the arguments.

    A folder with `modules.json` is loaded as it is, other folders get pooling over the last hidden states. Our own
    architecture never needs `trust_remote_code`: this package's classes stand for the code in the folder.
    """
    prompts = {"query": arguments.query_prompt, "document": arguments.document_prompt}
    trust = arguments.trust_remote_code
    options: dict[str, Any] = {"dtype": torch.float32}
    if (Path(folder) / MODULES_FILE).is_file():
        own: dict[str, Any] = {"prompts": prompts} if any(prompts.values()) else {}
        return _with_own_class(
            SentenceTransformer(str(folder), trust_remote_code=trust, model_kwargs=options, **own), folder
        )
    code = {"trust_remote_code": trust}
    transformer = Transformer(str(folder), model_kwargs=options | code, config_kwargs=code, processor_kwargs=code)
    dimension: Any = transformer.get_embedding_dimension()
    pooling = Pooling(dimension, "cls" if arguments.pooling == "cls" else "mean")
    modules = [transformer, pooling, *([Normalize()] if arguments.normalize else [])]
    return _with_own_class(SentenceTransformer(modules=modules, prompts=prompts), folder)


def _with_own_class(model: SentenceTransformer, folder: str | Path) -> SentenceTransformer:
    """Put this package's encoder in the place of the class that the Auto classes took for a release of ours."""
    if own_config(str(folder)) is not None and not isinstance(transformer_of(model), ChineseModernBertModel):
        module, ours = (
            cast(Any, model[0]),
            cast(Any, ChineseModernBertModel.from_pretrained(folder, dtype=torch.float32)),
        )
        module.model = ours.to(model.device)
    return model


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

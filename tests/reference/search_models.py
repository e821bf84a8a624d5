"""Search models as users leave them: sentence-transformers' own modules around a checkpoint, saved by the library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import MultiVectorEncoder, SparseEncoder
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling, MultiVectorMask
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling

# No code in the folder of a checkpoint is of another version than the installed one, but the library wants to hear it.
TRUST = {"trust_remote_code": True}
SIZE = 16


def transformer(checkpoint: Path, **options: Any) -> Transformer:
    """Return a checkpoint as the first module."""
    return Transformer(str(checkpoint), model_kwargs={**TRUST}, config_kwargs={**TRUST}, **options)


def sparse(checkpoint: Path, pooling: str = "max", activation: str = "relu", own_tokens: bool = False) -> SparseEncoder:
    """Return a SPLADE encoder; with `own_tokens` a text has no weight for a token that it does not hold."""
    language_model: Any = transformer(checkpoint, transformer_task="fill-mask")
    own = [table(language_model.tokenizer, 3)] if own_tokens else []
    return SparseEncoder(modules=[language_model, SpladePooling(pooling, activation), *own])  # type: ignore[arg-type]


def table(tokenizer: Any, seed: int) -> Any:
    """Return a weight for each token."""
    return SparseStaticEmbedding(
        tokenizer, weight=torch.rand(len(tokenizer), generator=torch.Generator().manual_seed(seed)), frozen=True
    )


def sparse_documents(checkpoint: Path, max_length: int = 64, own_tokens: bool = False, **prompts: str) -> SparseEncoder:
    """Return a SPLADE encoder of documents with a weight for each token of a query."""
    documents: Any = transformer(checkpoint, transformer_task="fill-mask")
    own = [table(documents.tokenizer, 3)] if own_tokens else []
    router = Router.for_query_document(
        query_modules=[table(documents.tokenizer, 1)],
        document_modules=[documents, SpladePooling("max", "log1p_relu"), *own],
    )
    model = SparseEncoder(modules=[router], prompts=prompts or None)
    model.max_seq_length = max_length
    return model


def late_interaction(
    checkpoint: Path,
    prompts: Mapping[str, str] | None = None,
    expansion: dict[str, Any] | None = None,
    pool_factor: float | None = None,
    words: tuple[str, ...] = (),
    **lengths: int,
) -> MultiVectorEncoder:
    """Return an encoder with a vector for each token."""
    encoder = transformer(checkpoint, query_expansion=expansion, **lengths)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        dense = Dense(
            32, SIZE, bias=False, activation_function=torch.nn.Identity(), module_input_name="token_embeddings"
        )
    behind = [dense, MultiVectorMask(list(words)), Normalize("token_embeddings")]
    behind += [HierarchicalTokenPooling(pool_factor)] if pool_factor else []
    return MultiVectorEncoder(modules=[encoder, *behind], prompts=dict(prompts or {}))


EXPANSION = {"strategy": "fixed", "attend": True, "length": 32}
MODELS: dict[str, Callable[[Path], Any]] = {
    "sparse": lambda folder: sparse(folder, "sum", "log1p_relu"),
    "sparse_documents": sparse_documents,
    "sparse, own tokens": lambda folder: sparse(folder, own_tokens=True),
    "sparse_documents, own tokens": lambda folder: sparse_documents(folder, own_tokens=True),
    "late_interaction": lambda folder: late_interaction(
        folder, {"query": "[Q] ", "document": "[D] "}, EXPANSION, words=("，", "。"), document_length=24
    ),
    "late_interaction, pooled": lambda folder: late_interaction(folder, pool_factor=2.0, query_length=8),
}


def save(name: str, checkpoint: Path, folder: Path) -> Path:
    """Save one of `MODELS` as the library does it, and return its folder."""
    MODELS[name](checkpoint).save_pretrained(str(folder))
    return folder

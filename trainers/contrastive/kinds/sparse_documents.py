"""SPLADE whose queries need no model: their tokens are looked up in a table of weights, documents alone are encoded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding
from transformers import PreTrainedTokenizerBase

from ....evaluation.retrieval.expansion import tokenizers_of
from ..arguments import RetrievalArguments
from ..datasets import NamedRows, read_named
from .sparse import SparseKind, SparseTrainer, stop_tokens

QUERY, DOCUMENT = "query", "document"
# Where the table lies among the parameters of a model.
TABLE = rf"sub_modules\.{QUERY}\."


class SparseDocumentsTrainer(SparseTrainer):
    """One stage: anchors go to the table, which learns at its own rate, all other columns to the encoder."""

    def __init__(
        self, model: SparseEncoder, args: RetrievalArguments, train_dataset: dict[str, Dataset], **kwargs: Any
    ) -> None:
        columns = {column for dataset in train_dataset.values() for column in dataset.column_names}
        args.router_mapping = {column: QUERY if column == "anchor" else DOCUMENT for column in columns}
        args.learning_rate_mapping = {TABLE: args.query_learning_rate}
        super().__init__(model, args, train_dataset, **kwargs)

    def query_regularizer(self, args: RetrievalArguments) -> None:
        """Return None: a query has the tokens that it has, none can be driven out."""
        return


class SparseDocumentsKind(SparseKind):
    """A `SparseEncoder` with a `Router`: `SparseStaticEmbedding` for queries, `SparseKind`'s modules for documents."""

    trainer = SparseDocumentsTrainer
    counts_documents = True

    def load(self, folder: str | Path, arguments: RetrievalArguments) -> SparseEncoder:
        """Return the model of a folder, or a new one; its table counts all rows that the stages name, see `begin`."""
        named = (one for stage in arguments.stages for one in read_named(stage.data, arguments.data, "train"))
        return self.begin(folder, arguments, named)

    def begin(self, folder: str | Path, arguments: RetrievalArguments, training: Iterable[NamedRows]) -> SparseEncoder:
        """Return the model of a folder, or one whose documents a sparse encoder or a masked language model encodes.

        A new table holds the inverse document frequencies of the documents that the stages train on.

        Raises:
            ValueError: See `SparseKind.load`; if there are no stages to count in.
        """
        model = super().load(folder, arguments)
        if isinstance(model[0], Router):
            return model
        tokenizer: Any = tokenizers_of(model)[0]
        weights = document_frequency_weights(tokenizer, _documents(training), _vocabulary_size(model))
        if arguments.stop_tokens:
            weights[stop_tokens(tokenizer, len(weights))] = 0.0
        table = SparseStaticEmbedding(tokenizer, weight=weights)
        # Without a default: `encode`, which knows of no side, would take a query for a document and tell nobody.
        router = Router.for_query_document([table], list(model.children()), default_route=None, allow_empty_key=False)  # pyright: ignore[reportArgumentType]
        prompts: Any = model.prompts
        return SparseEncoder(modules=[router], prompts=prompts, similarity_fn_name="dot")

    def save(self, model: SparseEncoder, folder: Path) -> None:
        """Write the model, the code of ours where Transformers looks for it: beside the sides, not in one of them."""
        super().save(model, folder)
        for file in folder.glob(f"{DOCUMENT}_*/*.py"):
            file.replace(folder / file.name)


def document_frequency_weights(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], size: int) -> torch.Tensor:
    """Return the inverse document frequency of each token, float32 `[size]`, as BM25 of Lucene has it.

    `log(1 + (N - n + 0.5) / (n + 0.5))` for a token that n of N texts hold: never negative, and highest for tokens that
    none holds.

    Raises:
        ValueError: If there is no text.
    """
    counted = list(texts)
    if not counted:
        raise ValueError("there is no text to count tokens in")
    rows: Any = tokenizer(counted, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    found = np.bincount(np.concatenate([np.unique(np.array(row, dtype=np.int64)) for row in rows]), minlength=size)
    return torch.from_numpy(np.log1p((len(rows) - found + 0.5) / (found + 0.5))).float()


def _documents(training: Iterable[NamedRows]) -> list[str]:
    """Return every positive and negative text of the stages, once."""
    rows = (row for one in training for row in one.rows.triplets)
    found = list(dict.fromkeys(text for row in rows for text in (row.positive, *row.negatives)))
    if not found:
        raise ValueError(
            "kind: sparse_documents weighs queries by the documents of its stages, and there is no stage with any; add "
            "one, or give a model that is saved as this kind"
        )
    return found


def _vocabulary_size(model: SparseEncoder) -> int:
    size = model.get_embedding_dimension()
    assert size is not None  # SPLADE's pooling is told it
    return size

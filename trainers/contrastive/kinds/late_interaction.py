"""Late interaction: a vector for every token, and every token of the query finds its best match in the passage."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.multi_vector_encoder.losses import (
    MultiVectorMarginMSELoss,
    MultiVectorMultipleNegativesRankingLoss,
)
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.multi_vector_encoder.trainer import MultiVectorEncoderTrainer
from torch import nn

from ..arguments import RetrievalArguments
from ..distillation import SCORES_COLUMN
from ..models import load_kind, new_transformer, refuse_other
from ..trainer import StageTrainer
from .kind import ModelKind


class LateInteractionTrainer(StageTrainer, MultiVectorEncoderTrainer):
    """One stage of late interaction.

    `anchor, positive[, negative_1 ...]` train with in-batch negatives; with `scores`, with a teacher's differences.
    """

    def build_loss(self, model: MultiVectorEncoder, args: RetrievalArguments, columns: list[str]) -> nn.Module:
        """Return the loss for a data set's columns.

        Raises:
            ValueError: If no loss of late interaction reads them.
        """
        if columns[:2] != ["anchor", "positive"]:
            raise ValueError(f"columns {', '.join(columns)} are not anchor, positive, negative_1 ...")
        if columns[-1] == SCORES_COLUMN:
            return MultiVectorMarginMSELoss(model)
        return MultiVectorMultipleNegativesRankingLoss(model, gather_across_devices=args.world_size > 1)


class LateInteractionKind(ModelKind):
    """A `MultiVectorEncoder`: the encoder, a projection of every token, and vectors of length 1."""

    trainer = LateInteractionTrainer

    def load(self, folder: str | Path, arguments: RetrievalArguments) -> MultiVectorEncoder:
        """Return the model of a folder, or one with a new projection around a checkpoint or an encoder.

        Raises:
            ValueError: See `refuse_other`.
        """
        prompts = {"query": arguments.query_prompt, "document": arguments.document_prompt}
        own: dict[str, Any] = {"prompts": prompts} if any(prompts.values()) else {}
        found = load_kind(folder, MultiVectorEncoder, arguments.trust_remote_code, **own)
        if found is not None:
            refuse_other(folder, arguments, {"token_size": found.get_embedding_dimension()})
            return found
        transformer = new_transformer(folder, arguments, "feature-extraction")
        projection = Dense(
            transformer.get_embedding_dimension(),
            arguments.token_size,
            bias=False,
            activation_function=nn.Identity(),
            module_input_name="token_embeddings",
        )
        nn.init.orthogonal_(projection.linear.weight)  # keeps what the encoder's vectors say of each other
        mask = MultiVectorMask(skiplist_words=punctuation_tokens(transformer.tokenizer))
        modules: list[nn.Module] = [transformer, projection, mask, Normalize(module_input_name="token_embeddings")]
        return MultiVectorEncoder(modules=modules, **own)


def punctuation_tokens(tokenizer: Any) -> list[str]:
    """Return the tokens of the vocabulary that are punctuation alone: passages keep no vector for them.

    The library's list has ASCII's signs as they are written; a tokenizer of bytes spells those of Chinese otherwise.
    """
    special = set(tokenizer.all_special_tokens)
    found = []
    for token, number in tokenizer.get_vocab().items():
        text = tokenizer.decode([number]).strip()
        if token not in special and text and all(unicodedata.category(sign)[0] == "P" for sign in text):
            found.append(token)
    return sorted(found)

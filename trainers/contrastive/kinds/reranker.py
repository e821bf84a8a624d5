"""Rerankers: query and passage are read together, and a head gives the pair one number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import (
    BinaryCrossEntropyLoss,
    MarginMSELoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.cross_encoder.trainer import CrossEncoderTrainer
from torch import nn

from ....evaluation.retrieval.loading import search_class
from ....evaluation.retrieval.reranker import Reranker
from ..arguments import StageArguments
from ..distillation import SCORES_COLUMN
from ..models import load_kind, new_transformer
from ..trainer import StageTrainer
from .kind import ModelKind

PROMPT = "query"


class RerankerTrainer(StageTrainer, CrossEncoderTrainer):
    """One stage of a reranker.

    `query, passage, label` train with binary cross-entropy; `anchor, positive[, negative_1 ...]` with a softmax over
    the row's negatives and some of the batch's; with `scores`, with a teacher's differences.
    """

    def __init__(self, model: CrossEncoder, args: StageArguments, train_dataset: Any, **kwargs: Any) -> None:
        args.prompts = model.prompts.get(PROMPT) or None  # a pair has one, before its query
        super().__init__(model, args, train_dataset, **kwargs)

    def build_loss(self, model: CrossEncoder, args: StageArguments, columns: list[str]) -> nn.Module:
        """Return the loss for a data set's columns.

        Raises:
            ValueError: If no loss of a reranker reads them.
        """
        if columns == ["query", "passage", "label"]:
            return BinaryCrossEntropyLoss(model)
        if columns[:2] == ["anchor", "positive"]:
            return MarginMSELoss(model) if columns[-1] == SCORES_COLUMN else MultipleNegativesRankingLoss(model)
        raise ValueError(
            f"columns {', '.join(columns)} are neither query, passage, label nor anchor, positive, negative_1 ..."
        )


class RerankerKind(ModelKind):
    """A `CrossEncoder`: our encoder with a head of one label, whose pooling is that of its configuration."""

    trainer = RerankerTrainer

    def load(self, folder: str | Path, arguments: StageArguments) -> CrossEncoder:
        """Return the reranker of a folder, or one with a new head around a checkpoint or the encoder of another kind.

        Raises:
            ValueError: If the folder holds a classifier of several labels.
        """
        own: dict[str, Any] = {}
        if arguments.query_prompt:  # used by default: whoever loads the folder ranks with it
            own = {"prompts": {PROMPT: arguments.query_prompt}, "default_prompt_name": PROMPT}
        found = load_kind(folder, CrossEncoder, arguments.trust_remote_code, **own)
        if found is not None:
            return found
        transformer = new_transformer(folder, arguments, "sequence-classification", num_labels=1)
        refuse_cut_starts(transformer.tokenizer, folder)
        return Reranker(modules=[transformer], **own)

    def is_untrained(self, folder: str | Path) -> bool:
        """Return whether the head is new: the folder has no reranker."""
        try:
            return search_class(folder) is not CrossEncoder
        except ValueError:  # an encoder, or a language model
            return True


def refuse_cut_starts(tokenizer: Any, folder: str | Path) -> None:
    """Refuse a tokenizer that cuts long texts at their start: passages would lose it, and nothing would say so.

    Raises:
        ValueError: If it does.
    """
    if tokenizer.truncation_side != "right":
        raise ValueError(
            f"the tokenizer of {folder} cuts the start of long passages (truncation_side={tokenizer.truncation_side}); "
            "set truncation_side to right in its tokenizer_config.json"
        )

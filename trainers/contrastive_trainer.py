"""Contrastive training on sentence-transformers: which loss a stage has, composed from the library's own."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    CoSENTLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util import cos_sim
from torch import nn

from .contrastive_arguments import ContrastiveArguments

DIRECTIONS = ("query_to_doc", "doc_to_query")


class ContrastiveTrainer(SentenceTransformerTrainer):
    """One stage of contrastive training; every batch comes from one data set, and the columns decide its loss.

    `anchor, positive[, negative_1 ...]` train with in-batch negatives, `sentence1, sentence2, score` with CoSENT.

    Args:
        model: The sentence encoder.
        args: Arguments of the stage.
        train_dataset: Data sets by name, see `stage_datasets`.
        kwargs: As for `SentenceTransformerTrainer`.

    Raises:
        ValueError: If a data set has other columns, no rows, or fewer rows than one batch needs.
    """

    args: ContrastiveArguments  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self, model: SentenceTransformer, args: ContrastiveArguments, train_dataset: dict[str, Dataset], **kwargs: Any
    ) -> None:
        losses = {name: build_loss(model, args, dataset.column_names) for name, dataset in train_dataset.items()}
        for name, dataset in train_dataset.items():
            if len(dataset) < 2:
                raise ValueError(f"{name} has {len(dataset)} rows; a batch needs at least two")
        super().__init__(model=model, args=args, train_dataset=train_dataset, loss=losses, **kwargs)


def build_loss(model: SentenceTransformer, args: ContrastiveArguments, columns: list[str]) -> nn.Module:
    """Return the loss for a data set's columns.

    With several processes the batch is gathered from all of them, so that every process's rows are negatives.

    Raises:
        ValueError: If the columns are neither those of triples nor of scored pairs, or a Matryoshka size is longer
            than the vectors.
    """
    if columns == ["sentence1", "sentence2", "score"]:
        loss: nn.Module = CoSENTLoss(model, scale=1 / args.temperature)
    elif columns[:2] == ["anchor", "positive"]:
        options: dict[str, Any] = {
            "scale": 1 / args.temperature,
            "similarity_fct": cos_sim,
            "gather_across_devices": args.world_size > 1,
            "directions": DIRECTIONS if args.both_directions else DIRECTIONS[:1],
            "partition_mode": "per_direction" if args.both_directions else "joint",
        }
        loss = (
            CachedMultipleNegativesRankingLoss(model, mini_batch_size=args.cached_batch_size, **options)
            if args.cached_batch_size
            else MultipleNegativesRankingLoss(model, **options)
        )
    else:
        raise ValueError(
            f"columns {', '.join(columns)} are neither anchor, positive, negative_1 ... nor sentence1, sentence2, score"
        )
    if not args.matryoshka_sizes:
        return loss
    longest = model.get_embedding_dimension()
    if longest is not None and max(args.matryoshka_sizes) > longest:
        raise ValueError(f"matryoshka_sizes={args.matryoshka_sizes} go beyond the vectors' length {longest}")
    return MatryoshkaLoss(model, loss, sorted(args.matryoshka_sizes, reverse=True))

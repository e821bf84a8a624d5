"""Contrastive training on sentence-transformers: which loss a stage has, composed from the library's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.base.trainer import BaseTrainer
from sentence_transformers.base.training_args import BaseTrainingArguments
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    CoSENTLoss,
    MarginMSELoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util import cos_sim, pairwise_cos_sim
from torch import nn

from ..zero_mean_residual import ZeroMeanResidualCallback
from .arguments import DenseArguments, StageArguments
from .distillation import SCORES_COLUMN

DIRECTIONS = ("query_to_doc", "doc_to_query")


class ScaledCosine:
    """Cosines of pairs over the temperature: their differences reach as far as those of a teacher's logits.

    Args:
        scale: 1 / temperature
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Return scores `[N]` of vectors `[N, D]`."""
        return self.scale * pairwise_cos_sim(first, second)


class StageTrainer(BaseTrainer):
    """One stage of a model of any kind; every batch comes from one data set, and the columns decide its loss.

    Args:
        model: the model
        args: arguments of the stage
        train_dataset: data sets by name, see `stage_datasets`
        kwargs: as for the trainer of sentence-transformers

    Raises:
        ValueError: If a data set has columns that no loss reads, no rows, or fewer rows than one batch needs.
    """

    # The arguments of every kind are these, under other names.
    training_args_class = BaseTrainingArguments

    def __init__(self, model: Any, args: StageArguments, train_dataset: dict[str, Dataset], **kwargs: Any) -> None:
        losses = {name: self.build_loss(model, args, dataset.column_names) for name, dataset in train_dataset.items()}
        for name, dataset in train_dataset.items():
            if len(dataset) < 2:
                raise ValueError(f"{name} has {len(dataset)} rows; a batch needs at least two")
            batch = args.per_device_train_batch_size
            if args.world_size > 1 and len(dataset) < batch:
                raise ValueError(f"{name} has {len(dataset)} rows, the processes share batches of {batch}; use less")
        share_batches(args, args.world_size)
        super().__init__(model=model, args=args, train_dataset=train_dataset, loss=losses, **kwargs)
        self.add_callback(ZeroMeanResidualCallback())

    def build_loss(self, model: Any, args: Any, columns: list[str]) -> nn.Module:
        """Return the loss for a data set's columns.

        Raises:
            ValueError: If no loss of this kind reads them.
        """
        raise NotImplementedError


class ContrastiveTrainer(StageTrainer, SentenceTransformerTrainer):
    """One stage of a dense encoder.

    `anchor, positive[, negative_1 ...]` train with in-batch negatives, `sentence1, sentence2, score` with CoSENT.
    """

    def build_loss(self, model: SentenceTransformer, args: DenseArguments, columns: list[str]) -> nn.Module:
        """Return the loss for a data set's columns, see the function of this name."""
        return build_loss(model, args, columns)


def share_batches(args: StageArguments, world_size: int) -> None:
    """Let the processes share each batch, so that training does not depend on their number.

    The library would give every process a batch of its own: one text may then be a positive on one process and its own
    negative on the other, and the batches of one step may come from different data sets, which cannot be gathered. A
    sampled batch that is split holds no text twice and comes from one set. A last batch that is not full is left out.

    Args:
        args: changed in place; `per_device_train_batch_size` is the size of the whole batch from here on
        world_size: number of processes; 1 changes nothing

    Raises:
        ValueError: If the batch cannot be split evenly.
    """
    if world_size == 1:
        return
    if args.per_device_train_batch_size % world_size:
        raise ValueError(
            f"batch_size={args.per_device_train_batch_size} is no multiple of the {world_size} processes that share it"
        )
    options: Any = args.accelerator_config
    options.split_batches = True
    args.dataloader_drop_last = True


def build_loss(model: SentenceTransformer, args: DenseArguments, columns: list[str]) -> nn.Module:
    """Return the loss for a data set's columns.

    With several processes the batch is gathered from all of them, so that every process's rows are negatives: the mean
    of the losses over the processes, and that of the gradients, are those of one process with the whole batch.

    Raises:
        ValueError: If the columns are neither those of triplets nor of scored pairs, or a Matryoshka size is longer
            than the vectors.
    """
    if columns == ["sentence1", "sentence2", "score"]:
        loss: nn.Module = CoSENTLoss(model, scale=1 / args.temperature)
    elif columns[:2] == ["anchor", "positive"] and columns[-1] == SCORES_COLUMN:
        loss = MarginMSELoss(model, similarity_fct=ScaledCosine(1 / args.temperature))
    elif columns[:2] == ["anchor", "positive"]:
        options: dict[str, Any] = {
            "scale": 1 / args.temperature,
            "similarity_fct": cos_sim,
            "gather_across_devices": args.world_size > 1,
            "directions": DIRECTIONS if args.symmetric_loss else DIRECTIONS[:1],
            "partition_mode": "per_direction" if args.symmetric_loss else "joint",
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
    refuse_longer_sizes(model, args.matryoshka_sizes)
    return MatryoshkaLoss(model, loss, sorted(args.matryoshka_sizes, reverse=True))


def refuse_longer_sizes(model: SentenceTransformer, sizes: Sequence[int]) -> None:
    """Refuse to cut vectors to more than they have.

    Raises:
        ValueError: If a size is longer than the vectors.
    """
    longest = model.get_embedding_dimension()
    if longest is not None and max(sizes, default=0) > longest:
        raise ValueError(f"matryoshka_sizes={sizes} go beyond the vectors' length {longest}")

"""A slow, obvious twin of ready batches: masked in their step as a trainer would, then laid out token by token."""

from pathlib import Path
from typing import Any

import numpy as np

from chinese_modernbert.trainers.data.batch_plan import BatchSizeWarmup
from chinese_modernbert.trainers.data.packing import SpecialIds
from chinese_modernbert.trainers.data.shards import TokenShards
from chinese_modernbert.trainers.data.stages import Stage, StagedBatches
from chinese_modernbert.trainers.masking import MaskedBatch, Masker
from chinese_modernbert.trainers.masking.trainer import mask_tensors
from reference.shard_folders import random_documents, write_folder


def write_staged(folder: Path, ends: list[int], ramp: BatchSizeWarmup | None = None) -> StagedBatches:
    """Return a run of two stages, three micro-batches a step, over several epochs of a small corpus in a folder."""
    lengths = np.random.default_rng(4).integers(1, 60, 60).tolist()
    shards = TokenShards(write_folder(folder, [random_documents(lengths)]))
    stages = [Stage(32, share=0.5), Stage(64, share=0.5)]
    ramps = {} if ramp is None else {"ramp": ramp}
    return StagedBatches(shards, stages, ends, 3, 128, 0, SpecialIds(cls=2, sep=3, pad=0), **ramps)


def mask_in_step(batches: StagedBatches, masker: Masker, number: int) -> tuple[dict[str, Any], MaskedBatch]:
    """Return a micro-batch as rows, masked with the clock of the trainer that has come to its step."""
    columns = batches[number]
    columns.pop("micro_batch")
    global_step, max_steps = number // batches.micro_batches_per_step, batches.ends[-1]
    return mask_tensors(masker, columns, global_step / max_steps, columns["epochs"].numpy())


def flat_lists(rows: dict[str, Any]) -> dict[str, list[Any]]:
    """Return masked rows as lists of one flat row."""
    flat: dict[str, list[Any]] = {"input_ids": [], "bounds": [0], "labels": [], "target_positions": [], "weights": []}
    ids, labels, documents = (rows[name].tolist() for name in ("input_ids", "labels", "document_ids"))
    weights = rows["loss_weight"].tolist() if "loss_weight" in rows else None
    for row, row_documents in enumerate(documents):
        for column, document in enumerate(row_documents):
            if document < 0:
                continue
            if labels[row][column] != -100:
                flat["labels"].append(labels[row][column])
                flat["target_positions"].append(len(flat["input_ids"]))
                if weights is not None:
                    flat["weights"].append(weights[row][column])
            flat["input_ids"].append(ids[row][column])
            is_last = column + 1 == len(row_documents) or row_documents[column + 1] != document
            if is_last:
                flat["bounds"].append(len(flat["input_ids"]))
    return flat


def words_of_labels(word_ids: np.ndarray, labels: np.ndarray) -> list[int]:
    """Number the words of the labelled tokens of rows."""
    numbers: list[int] = []
    before: tuple[int, int] | None = None
    for row, (row_words, row_labels) in enumerate(zip(word_ids.tolist(), labels.tolist(), strict=True)):
        for word, label in zip(row_words, row_labels, strict=True):
            if label != -100:
                numbers.append(0 if before is None else numbers[-1] + (before != (row, word)))
                before = row, word
    return numbers

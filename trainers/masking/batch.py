"""What goes into the masker and what comes out: dense numpy arrays, one row per packed sequence.

Legend: B rows, L tokens per row, N = B * L, U units, G budget groups, V tokens of the vocabulary, K tags.
"""

from collections.abc import Sequence
from typing import NamedTuple, NotRequired, Required, TypedDict

import numpy as np


class PackedBatch(TypedDict, total=False):
    """Token ids with the columns that say what a unit is and what may be masked.

    Attributes:
        input_ids: integer `[B, L]`
        word_ids: integer `[B, L]`; equal neighbours are one word, -1 is never masked (special tokens, padding)
        document_ids: integer `[B, L]`, the document within the row; -1 is padding. Absent: one document per row.
        sample_ids: integer `[B]`, a stable id of the row; with the seed, the epoch and the position it fixes the mask.
            Absent: 0, 1, ... in the order given, so that the mask depends on the order of the batch.
        tags: name -> integer `[B, L]`, -1 = untagged ("pos", "stratum", "entity", "domain_term", ...)
        scores: name -> float `[B, L]`, >= 0 ("term_weight", "pmi", ...)
    """

    input_ids: Required[np.ndarray]
    word_ids: Required[np.ndarray]
    document_ids: NotRequired[np.ndarray]
    sample_ids: NotRequired[np.ndarray]
    tags: NotRequired[dict[str, np.ndarray]]
    scores: NotRequired[dict[str, np.ndarray]]


class UnitTable(NamedTuple):
    """U units in reading order; what is masked is masked unit by unit.

    Attributes:
        start: int64 `[U]`, flat offset of the first token, `row * L + position`
        length: int64 `[U]`, tokens
        row: int64 `[U]`
        position: int64 `[U]`, position of the first token in its row
        group: int64 `[U]`, budget group (the row, or a document), non-decreasing
    """

    start: np.ndarray
    length: np.ndarray
    row: np.ndarray
    position: np.ndarray
    group: np.ndarray

    def take(self, chosen: np.ndarray) -> "UnitTable":
        """Return the units named by a bool `[U]` or an integer index array."""
        return UnitTable(*(column[chosen] for column in self))


class MaskedBatch(TypedDict):
    """The corrupted batch, its labels, and what logs and checks need.

    Attributes:
        input_ids: int64 `[B, L]`, corrupted
        labels: int64 `[B, L]`, the original id where selected, else -100
        selected: bool `[B, L]`
        loss_weight: float32 `[B, L]`, 0 where not selected; None means that every masked token counts equally
        units: all units that could have been chosen
        chosen: bool `[U]`
        maskable_tokens: how many tokens carried a word id
        target_rate: the rate asked for at this progress (mean over budget groups, weighted by their tokens)
        tags: name -> integer `[B, L]`, the tag columns that the batch came with and those that the masker made
    """

    input_ids: np.ndarray
    labels: np.ndarray
    selected: np.ndarray
    loss_weight: np.ndarray | None
    units: UnitTable
    chosen: np.ndarray
    maskable_tokens: int
    target_rate: float
    tags: NotRequired[dict[str, np.ndarray]]


def document_ids_of(batch: PackedBatch) -> np.ndarray:
    """Return the document column `[B, L]`, or zeros where the batch has none (one document per row)."""
    documents = batch.get("document_ids")
    return np.zeros(batch["input_ids"].shape, dtype=np.int32) if documents is None else documents


def rows_of(batch: PackedBatch, first: int, last: int) -> PackedBatch:
    """Return the rows from `first` up to `last` as a batch of views; rows without a sample id get their index."""
    chosen = slice(first, last)
    part = PackedBatch(input_ids=batch["input_ids"][chosen], word_ids=batch["word_ids"][chosen])
    if "document_ids" in batch:
        part["document_ids"] = batch["document_ids"][chosen]
    samples = batch.get("sample_ids")
    part["sample_ids"] = np.arange(len(batch["input_ids"]))[chosen] if samples is None else samples[chosen]
    part["tags"] = {name: column[chosen] for name, column in batch.get("tags", {}).items()}
    part["scores"] = {name: column[chosen] for name, column in batch.get("scores", {}).items()}
    return part


def join_masked(parts: Sequence[MaskedBatch], groups: Sequence[int]) -> MaskedBatch:
    """Concatenate the masked parts of one batch.

    Args:
        parts: rows in order, all with the same columns
        groups: how many budget groups each part has
    """
    rows = np.cumsum([0, *(len(part["input_ids"]) for part in parts)])
    before = np.cumsum([0, *groups])
    length = parts[0]["input_ids"].shape[1]
    tables = [
        part["units"]._replace(
            start=part["units"].start + row * length, row=part["units"].row + row, group=part["units"].group + group
        )
        for part, row, group in zip(parts, rows.tolist(), before.tolist(), strict=False)
    ]
    weights = [part["loss_weight"] for part in parts if part["loss_weight"] is not None]
    tokens = sum(part["maskable_tokens"] for part in parts)
    target = sum(part["target_rate"] * part["maskable_tokens"] for part in parts)
    return MaskedBatch(
        input_ids=np.concatenate([part["input_ids"] for part in parts]),
        labels=np.concatenate([part["labels"] for part in parts]),
        selected=np.concatenate([part["selected"] for part in parts]),
        loss_weight=np.concatenate(weights) if weights else None,
        units=UnitTable(*(np.concatenate(columns) for columns in zip(*tables, strict=True))),
        chosen=np.concatenate([part["chosen"] for part in parts]),
        maskable_tokens=tokens,
        target_rate=target / tokens if tokens else 0.0,
    )


def check_batch(batch: PackedBatch) -> None:
    """Refuse a batch whose columns do not fit together.

    Raises:
        ValueError: If a column is missing or has another shape than `input_ids`.
    """
    shape = batch["input_ids"].shape
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"input_ids has shape {shape}; give a non-empty [rows, tokens] array")
    if "word_ids" not in batch:
        raise ValueError("the batch has no word_ids; make them with word_ids_from_starts (-1 = never masked)")
    columns = {"word_ids": batch["word_ids"], "document_ids": document_ids_of(batch)}
    columns |= batch.get("tags", {}) | batch.get("scores", {})
    for name, column in columns.items():
        if column.shape != shape:
            raise ValueError(f"{name} has shape {column.shape} but input_ids {shape}; every column is [rows, tokens]")
    samples = batch.get("sample_ids")
    if samples is not None and samples.shape != shape[:1]:
        raise ValueError(f"sample_ids has shape {samples.shape}; give one id per row, shape {shape[:1]}")

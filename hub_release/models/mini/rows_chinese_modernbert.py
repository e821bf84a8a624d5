# Copyright 2026 The Chinese ModernBERT contributors. SPDX-License-Identifier: Apache-2.0
"""Logits of chosen tokens of many rows of ids, from any masked language model of Transformers.

A model that takes flat rows gets the rows of a batch as one, without padding, and computes chosen logits alone; every
other model gets a padded batch, and gives the same numbers.
"""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

# Tokens of one forward; the logits of its masked ones are what takes memory. Source: our default.
TOKENS_PER_BATCH = 8_192


def batches_of_rows(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Yield numbers of rows of similar length, at most so many tokens together (one row may have more).

    Args:
        lengths: tokens of each row
        tokens: most tokens of a batch
    """
    batch: list[int] = []
    filled = 0
    for number in sorted(range(len(lengths)), key=lambda one: lengths[one]):
        if batch and filled + lengths[number] > tokens:
            yield batch
            batch, filled = [], 0
        batch.append(number)
        filled += lengths[number]
    if batch:
        yield batch


@torch.inference_mode()
def logits_at(model: PreTrainedModel, rows: Sequence[Any], positions: Sequence[Any]) -> torch.Tensor:
    """Return float32 logits `(chosen, vocabulary)` of the chosen tokens of one batch, row after row.

    Args:
        model: masked language model in evaluation mode
        rows: ids of each row, with the special tokens: lists, tensors or arrays
        positions: places of the chosen tokens in each row
    """
    takes_flat_rows = "target_positions" in inspect.signature(model.forward).parameters
    return (_flat_logits if takes_flat_rows else _padded_logits)(model, rows, positions).float()


def _flat_logits(model: Any, rows: Sequence[Any], positions: Sequence[Any]) -> torch.Tensor:
    """Return the logits from one flat row, with those of chosen tokens alone computed."""
    lengths = torch.tensor([len(row) for row in rows])
    bounds = torch.cat((torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)))
    starts = bounds.tolist()
    given = {
        "input_ids": torch.cat([torch.as_tensor(row, dtype=torch.int64) for row in rows]).unsqueeze(0),
        "cu_seq_lens_q": bounds.int(),
        "target_positions": torch.cat(
            [torch.as_tensor(own, dtype=torch.int64) + start for own, start in zip(positions, starts, strict=False)]
        ),
    }
    given = {name: tensor.to(model.device) for name, tensor in given.items()}
    return model(**given, max_length_q=int(lengths.max())).logits


def _padded_logits(model: Any, rows: Sequence[Any], positions: Sequence[Any]) -> torch.Tensor:
    """Return the logits from a padded batch."""
    lengths = torch.tensor([len(row) for row in rows])
    attention_mask = (torch.arange(int(lengths.max())) < lengths.unsqueeze(1)).long()
    input_ids = torch.zeros_like(attention_mask)
    for target, row in zip(input_ids, rows, strict=True):
        target[: len(row)] = torch.as_tensor(row)
    logits = model(input_ids=input_ids.to(model.device), attention_mask=attention_mask.to(model.device)).logits
    which = torch.arange(len(rows)).repeat_interleave(torch.tensor([len(own) for own in positions]))
    columns = torch.cat([torch.as_tensor(own, dtype=torch.int64) for own in positions])
    return logits[which.to(logits.device), columns.to(logits.device)]

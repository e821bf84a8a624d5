"""Logits of a model for tokenized rows, in evaluation mode and without a Trainer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from .inputs import Feature, TaskInputs
from .losses import stacked_logits


@torch.no_grad()
def logits_of(
    model: nn.Module, inputs: TaskInputs, features: Sequence[Feature], batch_size: int, bf16: bool = False
) -> np.ndarray:
    """Return float32 `[features, ...]`, one row for each feature in its order, padded with zeros to a common shape.

    Rows are run longest first, so that little is padded and the largest batch is the first one.

    Args:
        model: model of the task
        inputs: its inputs
        features: what `inputs.encode` gave
        batch_size: features at once
        bf16: autocast to bfloat16
    """
    device = next(model.parameters()).device
    model.eval()
    order = sorted(range(len(features)), key=lambda i: -len(features[i]["input_ids"]))
    found: dict[int, np.ndarray] = {}
    for first in range(0, len(order), batch_size):
        numbers = order[first : first + batch_size]
        batch = inputs.collate([{k: v for k, v in features[i].items() if k != "labels"} for i in numbers])
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            outputs = model(**{name: value.to(device) for name, value in batch.items()})
        logits = stacked_logits(outputs).float()
        logits = logits.transpose(1, 2) if "start_logits" in outputs else logits
        found.update(zip(numbers, logits.cpu().numpy(), strict=True))
    shape = np.max([row.shape for row in found.values()], axis=0)
    padded = np.zeros((len(features), *shape), dtype=np.float32)
    for number, row in found.items():
        padded[(number, *map(slice, row.shape))] = row
    return padded

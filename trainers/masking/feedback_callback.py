"""Feedback and losses in a training run: how well the model predicts each masked token, the same on every process."""

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ...runtime.token_rows import IGNORED_LABEL
from .batch import MaskedBatch
from .feedback import FeedbackTable
from .masker import Masker

FEEDBACK_FILE = "masking_feedback.safetensors"
# The table with label ids as keys; the others are named after their tag column.
LABELS = "labels"
# Masked tokens whose float32 logits are held at once: 128 MiB at a vocabulary of 32,768. Our default.
TOKENS_AT_ONCE = 1024


class MaskingFeedback(TrainerCallback):
    """The feedback tables of a masker during a run: the trainer fills them, step ends renew them.

    Args:
        masker: its weights name the tables; without a table the callback does nothing
    """

    def __init__(self, masker: Masker) -> None:
        found = masker.weights.live_tables() if masker.weights is not None else []
        self.tables = {tag or LABELS: table for tag, table in found if isinstance(table, FeedbackTable)}
        # What was reported in the step at hand, on the device still: the next step's masks are the first to need it.
        self._reported: list[tuple[Mapping[str, np.ndarray], torch.Tensor, torch.Tensor]] = []

    def keys(self, masked: MaskedBatch) -> dict[str, np.ndarray]:
        """Return for each table int64 `[M]`: its key of every masked token, in reading order."""
        columns = {**masked.get("tags", {}), LABELS: masked["labels"]}
        return {name: columns[name][masked["selected"]].astype(np.int64) for name in self.tables}

    def observe(self, keys: Mapping[str, np.ndarray], losses: torch.Tensor, correct: torch.Tensor) -> None:
        """Report masked tokens: their keys, float `[M]` losses and bool `[M]` whether the best guess was right."""
        self._reported.append((keys, losses.detach(), correct))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Count what the step reported and renew the tables that are due; every process does so at the same step."""
        for keys, losses, correct in self._reported:
            loss, is_right = losses.float().cpu().numpy(), correct.cpu().numpy()
            for name, table in self.tables.items():
                seen = keys[name].size  # fillers come last
                table.observe(keys[name], loss[:seen], is_right[:seen])
        self._reported = []
        for table in self.tables.values():
            table.commit(state.global_step, lambda counts: sum_over_processes(counts, args.device))

    def save(self, folder: str | Path, args: TrainingArguments) -> None:
        """Write the tables and the counts since the last commit into a checkpoint; every process must call this."""
        tensors: dict[str, np.ndarray] = {}
        for name, table in self.tables.items():
            state = table.state_dict()
            tensors[f"{name}.state"] = state["state"]
            tensors[f"{name}.counts"] = sum_over_processes(state["counts"], args.device)
        if tensors and args.should_save:
            target = Path(folder) / FEEDBACK_FILE
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.partial")
            save_file(tensors, temporary)
            os.replace(temporary, target)

    def load(self, folder: str | Path, args: TrainingArguments) -> None:
        """Continue from a checkpoint; the counts of all processes go to the first.

        Raises:
            FileNotFoundError: If the checkpoint has no such file.
            ValueError: If it holds a table of another size, or lacks one.
        """
        if not self.tables:
            return
        source = Path(folder) / FEEDBACK_FILE
        if not source.is_file():
            raise FileNotFoundError(f"{source} is missing, so the masks would not follow the model; start a new run")
        tensors = load_file(source)
        for name, table in self.tables.items():
            if f"{name}.state" not in tensors:
                raise ValueError(f"{source} has no table {name!r}; resume with the masker of that run")
            counts = tensors[f"{name}.counts"]
            first = args.process_index == 0
            table.load_state_dict(
                {"state": tensors[f"{name}.state"], "counts": counts if first else np.zeros_like(counts)}
            )


def sum_over_processes(counts: np.ndarray, device: torch.device) -> np.ndarray:
    """Add up an array over all processes of the run; the array itself where there is one process."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return counts
    total = torch.from_numpy(counts).to(device, copy=True)
    distributed.all_reduce(total)
    return total.cpu().numpy()


def ratio_over_processes(above: float, below: float, device: torch.device) -> float | torch.Tensor:
    """Return a ratio of two sums over all processes of the run; of several on the device, which is not waited for."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return above / max(below, 1e-12)
    sums = torch.stack([torch.full((), one, dtype=torch.float64, device=device) for one in (above, below)])
    distributed.all_reduce(sums)
    return sums[0] / sums[1].clamp(min=1e-12)


def at_labels(values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return of values `(batch, length, ...)` those at the labelled positions `(M, ...)`, in reading order.

    Values of labels `(M,)`, which came with their positions, are returned as they are. To look for labels is to wait
    for the device.
    """
    return values if labels.dim() == 1 else values[labels != IGNORED_LABEL]


def labelled_logits(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits `(M, V)` and ids `(M,)` at the labelled positions, in reading order.

    Args:
        logits: `(M, V)` already, or `(batch, length, V)`
        labels: int64 `(batch, length)`, -100 where there is nothing to predict; or `(M,)`, -100 being a filler that
            stays
    """
    return (at_labels(logits, labels) if logits.dim() == 3 else logits), at_labels(labels, labels)


def labelled_positions(labels: torch.Tensor) -> torch.Tensor:
    """Return int64 `(M,)`: where in the flattened batch labels `(batch, length)` name a token, `target_positions`."""
    return (labels.reshape(-1) != IGNORED_LABEL).nonzero().squeeze(1)


def masked_token_losses(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cross-entropy of every labelled token, and whether its best guess is right.

    Args:
        logits, labels: see `labelled_logits`

    Returns:
        float32 `[M]`, with gradients where the logits have them, and bool `[M]`; 0 and False for a filler.
    """
    logits, expected = labelled_logits(logits, labels)
    losses, correct = [logits.new_zeros(0, dtype=torch.float32)], [expected.new_zeros(0, dtype=torch.bool)]
    for part, ids in zip(logits.split(TOKENS_AT_ONCE), expected.split(TOKENS_AT_ONCE), strict=False):
        losses.append(nn.functional.cross_entropy(part.float(), ids, reduction="none", ignore_index=IGNORED_LABEL))
        correct.append(part.argmax(-1) == ids)
    return torch.cat(losses), torch.cat(correct)


def masked_token_mean(
    outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
) -> torch.Tensor:
    """Return the loss of a batch as its part of the mean over all masked tokens of the optimizer step.

    Args:
        outputs: output of the model with `logits`, see `masked_token_losses`
        labels: as in `masked_token_losses`
        num_items_in_batch: labelled tokens of the whole step; None = of this batch
    """
    losses, _ = masked_token_losses(outputs["logits"], labels)
    return losses.sum() / (max(losses.numel(), 1) if num_items_in_batch is None else num_items_in_batch)


def divides_its_loss(model: nn.Module) -> bool:
    """Return whether a model divides its loss by the items of the whole step.

    Transformers takes any `**kwargs` as a yes. BERT's forward has them and ignores the number: its loss is a mean over
    the micro-batch, and n accumulated micro-batches, or n processes, make the gradient n times too large.
    """
    return "num_items_in_batch" in inspect.signature(model.forward).parameters

"""The masking curriculum in a training run: masks at the rate of the step, logs, and a check for lost word starts.

The rate is a pure function of `global_step / max_steps`. A collator is given rows and no number, and runs in workers
that prefetch: it cannot know the step. So the batch is masked when the trainer takes it: every micro-batch of one
optimizer step has the same rate, any number of workers gives the same masks, and a resumed run continues exactly,
because there is no state to restore. Where the number of a batch says which step it belongs to, as in pre-training, a
worker can mask it as exactly, ahead of time.
"""

import logging
from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, get_last_checkpoint

from ..zero_mean_residual import ZeroMeanResidualCallback
from .batch import MaskedBatch, PackedBatch
from .feedback_callback import (
    MaskingFeedback,
    at_labels,
    divides_its_loss,
    masked_token_losses,
    masked_token_mean,
    ratio_over_processes,
)
from .masker import Masker
from .statistics import MaskingCounts, MaskingStatistics

logger = logging.getLogger(__name__)

# A 32k BPE keeps most Chinese words in one token, so a healthy run has many single-token units: 0.85 of them on the
# validation text of benchmarks/2026-11-25-masking.md. Lost word starts give exactly 1. The threshold sits close to
# 1 and the decision waits for many units, so that a healthy run does not reach it by chance (at a true share of 0.97
# the share of 20,000 units varies by 0.0012). Our default.
MAXIMUM_SINGLE_TOKEN_SHARE = 0.995
MINIMUM_UNITS = 20_000
# One rate for all runs and steps, so that evaluation losses can be compared. Our default.
EVALUATION_RATE = 0.15

# Columns that only the masker reads; the model never sees them.
MASKING_COLUMNS = ("word_ids", "sample_ids", "epochs")
TAG_PREFIX = "tag_"
SCORE_PREFIX = "score_"
# Columns that the trainer removes before it calls the model.
LOSS_WEIGHT = "loss_weight"
FEEDBACK_KEYS = "feedback_keys"


class MaskingRateCallback(TrainerCallback):
    """Add the target rate, the realized rate and the histogram of masked units to the logs of a run.

    Args:
        statistics: updated by the trainer after each masked batch, separately on each process
        maximum_single_token_share: stop when more of all units seen have one token; None never stops, as token
            masking needs it
        minimum_units: units to see before judging
    """

    def __init__(
        self,
        statistics: MaskingStatistics,
        maximum_single_token_share: float | None = MAXIMUM_SINGLE_TOKEN_SHARE,
        minimum_units: int = MINIMUM_UNITS,
    ) -> None:
        if maximum_single_token_share is not None and not 0 < maximum_single_token_share < 1:
            raise ValueError(
                f"maximum_single_token_share={maximum_single_token_share} is not inside 0 to 1; give a share, or None"
            )
        self.statistics = statistics
        self.maximum_single_token_share = maximum_single_token_share
        self.minimum_units = minimum_units

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Check once per optimizer step that units are still words.

        Raises:
            RuntimeError: If nearly every unit has one token.
        """
        share, seen = self.statistics.single_token_share, self.statistics.units_seen
        if self.maximum_single_token_share is None or seen < self.minimum_units:
            return
        if share > self.maximum_single_token_share:
            raise RuntimeError(
                f"whole-word masking has become token masking: {share:.2%} of {seen:,} units have one token "
                f"(limit {self.maximum_single_token_share:.2%}). The word starts are lost, or the segmenter was "
                "'none'; prepare the data again, or pass maximum_single_token_share=None if this is meant"
            )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check that something was learned from.

        Raises:
            RuntimeError: If no token was masked in all that was read.
        """
        if self.statistics.units_seen and not self.statistics.masked_tokens_seen:
            raise RuntimeError(
                f"none of {self.statistics.units_seen:,} units was masked, so nothing was learned; give a masking rate "
                "above 0, or weights that are not all 0"
            )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add the metrics since the last log to a training log, and start a new count."""
        if logs is None or "loss" not in logs:
            return
        metrics = self.statistics.as_logs()
        logs.update(metrics)
        if state.log_history:
            state.log_history[-1].update(metrics)
        self.statistics.clear()


class PassCounter(TrainerCallback):
    """Counts passes over the data: `int(state.epoch)` is a pass behind where their length is not known.

    Attributes:
        number: the pass at hand, from 0; a resumed run goes on with that of its checkpoint
    """

    def __init__(self) -> None:
        self.number = self._next = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the pass of the checkpoint, or 0."""
        self._next = int(state.epoch or 0)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Go on to the next pass, before its workers start."""
        self.number, self._next = self._next, self._next + 1


class MaskingTrainer(Trainer):
    """A Trainer that masks batches when a step takes them; use it directly or as a base class.

    The collator only pads (`DataCollatorForWholeWordMasking(tokenizer)` without a masker). Masking happens before the
    Trainer counts labels, so that the loss is divided by the right number under gradient accumulation. Where the
    masker gives loss weights w, the loss is `sum of w * cross-entropy / sum of w` over the whole optimizer step.
    Feedback tables of the masker learn from every masked token and are kept with the checkpoints (`MaskingFeedback`).

    Args:
        *args: as for `Trainer`
        masker: see `Masker`; its rate may be a schedule
        statistics: updated after each batch; None makes one. Give a `MaskingRateCallback` the same object.
        evaluation_rate: fixed rate for evaluation, epoch 0, see `evaluation_masker_of`
        **kwargs: as for `Trainer`
    """

    def __init__(
        self,
        *args: Any,
        masker: Masker,
        statistics: MaskingStatistics | None = None,
        evaluation_rate: float = EVALUATION_RATE,
        **kwargs: Any,
    ) -> None:
        self.masker = masker
        self.evaluation_masker = evaluation_masker_of(masker, evaluation_rate)
        self.masking_statistics = MaskingStatistics() if statistics is None else statistics
        self.masking_feedback = MaskingFeedback(masker)
        self.passes = PassCounter()
        self._step_counts: list[MaskingCounts] = []
        super().__init__(*args, **kwargs)
        self.add_callback(self.masking_feedback)
        self.add_callback(self.passes)
        self.add_callback(ZeroMeanResidualCallback())
        has_own_loss = self.compute_loss_func is not None or self.label_smoother is not None
        if not has_own_loss and not divides_its_loss(self.accelerator.unwrap_model(self.model)):
            self.compute_loss_func = masked_token_mean

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple[list, Any]:
        """Take the micro-batches of one optimizer step and mask them; their loss weights are scaled to a mean of 1."""
        self._step_counts = []
        masked = map(self._take_batch, epoch_iterator)
        batches, count = super().get_batch_samples(masked, num_batches, device)
        if batches and LOSS_WEIGHT in batches[0]:
            labelled = sum(counts.masked_tokens for counts in self._step_counts)
            weight = sum(counts.loss_weight or 0.0 for counts in self._step_counts)
            factor = ratio_over_processes(labelled, weight, self.args.device)
            for batch in batches:
                batch[LOSS_WEIGHT] *= factor
        return batches, count

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Compute the loss, weighted where the masker weighs tokens, and report the masked tokens to its tables."""
        weight, keys = inputs.pop(LOSS_WEIGHT, None), inputs.pop(FEEDBACK_KEYS, None)
        labels = inputs.get("labels")
        both: Any = super().compute_loss(model, inputs, True, num_items_in_batch)
        loss, outputs = both
        if labels is not None and (weight is not None or keys):
            with torch.set_grad_enabled(weight is not None and torch.is_grad_enabled()):
                losses, correct = masked_token_losses(outputs["logits"], labels)
            if keys:
                self.masking_feedback.observe(keys, losses, correct)
            if weight is not None:
                loss = self._weighted_mean(losses, at_labels(weight, labels), num_items_in_batch)
        return (loss, outputs) if return_outputs else loss

    def _weighted_mean(
        self, losses: torch.Tensor, weight: torch.Tensor, num_items_in_batch: torch.Tensor | int | None
    ) -> torch.Tensor:
        """Divide as `Trainer.compute_loss` does: by the tokens of the step, times the number of processes."""
        if num_items_in_batch is None or not (self.model_accepts_loss_kwargs or self.compute_loss_func):
            return (losses * weight).sum() / max(losses.numel(), 1)
        processes = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        return (losses * weight).sum() / num_items_in_batch * processes

    def prediction_step(self, model: Any, inputs: MutableMapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Evaluate a batch under the fixed masks of evaluation."""
        if "word_ids" in inputs:
            inputs, _ = mask_tensors(self.evaluation_masker, inputs, progress=1.0, epoch=0)
        return super().prediction_step(model, dict(inputs), *args, **kwargs)

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Train as the Trainer does, after restoring from the checkpoint what it knows nothing of."""
        if resume_from_checkpoint is True:
            resume_from_checkpoint = get_last_checkpoint(str(self.args.output_dir)) or True
        if resume_from_checkpoint and resume_from_checkpoint is not True:
            self.restore(str(resume_from_checkpoint))
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def restore(self, checkpoint: str) -> None:
        """Restore the feedback tables from a checkpoint."""
        self.masking_feedback.load(checkpoint, self.args)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model, and in a numbered checkpoint the feedback tables; every process must call this."""
        super().save_model(output_dir, _internal_call)
        if Path(output_dir or "").name.startswith(PREFIX_CHECKPOINT_DIR):
            self.masking_feedback.save(str(output_dir), self.args)

    def _take_batch(self, inputs: MutableMapping[str, Any]) -> dict[str, Any]:
        """Return a batch masked for the step at hand, counted."""
        masked_inputs, counts = self._mask_training_batch(inputs)
        self.masking_statistics.add(counts)
        self._step_counts.append(counts)
        return masked_inputs

    def _mask_training_batch(self, inputs: MutableMapping[str, Any]) -> tuple[dict[str, Any], MaskingCounts]:
        """Mask a collated batch at the rate of the step at hand; return it and what was masked."""
        progress = self.state.global_step / max(self.state.max_steps, 1)
        epoch = inputs.get("epochs")
        masked_inputs, masked = mask_tensors(
            self.masker, inputs, progress, self.passes.number if epoch is None else epoch.cpu().numpy()
        )
        if self.masking_feedback.tables:
            masked_inputs[FEEDBACK_KEYS] = self.masking_feedback.keys(masked)
        return masked_inputs, self.masking_statistics.count(masked)


def evaluation_masker_of(masker: Masker, rate: float) -> Masker:
    """Return the masker's units and corruption at a constant rate; every unit and every masked token counts equally.

    Weights are left out: tables that follow the model would give each evaluation other masks, so that losses could not
    be compared.
    """
    return replace(
        masker,
        rate=rate,
        weights=None,
        sampler="budget",
        budget="row",
        class_loss=None,
        inverse_rate_loss=False,
    )


def mask_tensors(
    masker: Masker, inputs: MutableMapping[str, Any], progress: float, epoch: int | np.ndarray
) -> tuple[dict[str, Any], MaskedBatch]:
    """Mask a collated batch of tensors.

    Args:
        masker: see `Masker`
        inputs: `input_ids`, `word_ids`, `sample_ids` (and `document_ids`, `tag_...`, `score_...`), on any device
        progress: training step / all steps
        epoch: one epoch, or int64 `[B]`

    Returns:
        The model's inputs (without the columns that only the masker reads, with `labels` and, where the masker gives
        one, `loss_weight`), and the numpy result for statistics.
    """
    columns = {name: value.cpu().numpy() for name, value in inputs.items() if isinstance(value, torch.Tensor)}
    batch = PackedBatch(input_ids=columns["input_ids"], word_ids=columns["word_ids"])
    if "sample_ids" in columns:
        batch["sample_ids"] = columns["sample_ids"]
    if "document_ids" in columns:
        batch["document_ids"] = columns["document_ids"]
    batch["tags"] = _with_prefix(columns, TAG_PREFIX)
    batch["scores"] = _with_prefix(columns, SCORE_PREFIX)
    masked = masker(batch, progress, epoch)
    device = inputs["input_ids"].device
    kept = {
        name: value
        for name, value in inputs.items()
        if name not in MASKING_COLUMNS and not name.startswith((TAG_PREFIX, SCORE_PREFIX))
    }
    kept["input_ids"] = torch.from_numpy(masked["input_ids"]).to(device)
    kept["labels"] = torch.from_numpy(masked["labels"]).to(device)
    if masked["loss_weight"] is not None:
        kept[LOSS_WEIGHT] = torch.from_numpy(masked["loss_weight"]).to(device)
    return kept, masked


def _with_prefix(columns: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): column for name, column in columns.items() if name.startswith(prefix)}

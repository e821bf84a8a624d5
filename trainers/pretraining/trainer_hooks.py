"""The private methods of `transformers.Trainer` that pre-training needs, all of them, as of Transformers 5.23.

No callback and no public method can do what they do: stop an update after the gradient norm is known, give a
checkpoint its name when it is whole, refuse to load one in part, and count labels without asking the device.
`tests/unit/trainers/pretraining/test_trainer_hooks.py` fails when a signature has changed, or when another private
method is overridden.
"""

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..after_step import AfterStep
from .averages import WeightAveraging
from .batches import FACTS, IS_CAUSAL
from .checkpoints import WRITING, CheckpointWriter, drop_old_checkpoints, find_damage, require_whole
from .guards import StepGuard
from .log import RunLog


class TrainerHooks(Trainer):
    """Calls the guard before each update and the checkpoint writer around each checkpoint.

    Attributes:
        guard: judges each step
        writer: writes the checkpoints
        run_log: what is measured between two log lines
        averages: averages the weights after each update, or None
    """

    guard: StepGuard
    writer: CheckpointWriter
    run_log: RunLog
    averages: WeightAveraging | None

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> torch.Tensor | int | None:
        """Return what the sums of a step are divided by, int64 `[2]`: of masked micro-batches and of causal ones.

        It is the number of labelled tokens of that kind over all processes, which who read the batches has counted, by
        the kind's share of the step's micro-batches: a causal one has several times as many labels and counts no more.
        """
        if not batch_samples:
            return None
        labels, batches = [0, 0], [0, 0]
        for batch in batch_samples:
            kind = int(batch.get(IS_CAUSAL, False))
            labels[kind] += batch[FACTS].work.masked
            batches[kind] += 1
        # Written on the device: a copy from the host would wait for it.
        own = [torch.full((), count, dtype=torch.int64, device=device) for count in (*labels, *batches)]
        counts: Any = torch.stack(own)
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            counts = self.accelerator.reduce(counts, reduction="sum")
        return counts[:2] * counts[2:].sum() // counts[2:].clamp(min=1)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """Return the gradient norm, the last moment before the weights change: a bad step is caught here.

        Raises:
            ValueError: If the step is bad and is not to be skipped.
        """
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        found = self.guard.find_problem(norm, self.accelerator)
        if found is None:
            return norm
        self.guard.handle(*found, self.state, self._save_before_step)
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, AfterStep):
                callback.skips_next = True
        model.zero_grad()  # an optimizer passes over parameters without a gradient: neither weights nor moments move
        self.run_log.window.take_back_step(self._tr_loss)
        return None

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save a checkpoint that is whole or not there, then drop the oldest ones over `save_total_limit`."""
        began, name = time.perf_counter(), f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        with self.writer.write(name):
            super()._save_checkpoint(model, trial)
            if self.averages is not None:
                trained: Any = self.model
                self.averages.save(trained, self.writer.output / WRITING / name, self.args.should_save)
        if self.args.should_save:
            drop_old_checkpoints(self.writer.output, self.writer.output / name, self.args.save_total_limit)
        self.run_log.meter.pause(time.perf_counter() - began)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load both; the library would load neither where one is missing."""
        if checkpoint is not None:
            require_whole(checkpoint)
        super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Load the generators; those of another number of processes do not fit, and only dropout reads them."""
        if checkpoint is not None:
            require_whole(checkpoint)
        super()._load_rng_state(checkpoint)

    def _get_output_dir(self, trial: Any) -> str:
        """Return the run's folder, while a checkpoint is written that of unfinished ones."""
        folder = super()._get_output_dir(trial)
        return str(Path(folder) / WRITING) if self.writer.is_writing else folder

    def _save_before_step(self) -> None:
        """Save the state at the end of the step before; the weights have not changed, the generators have."""
        if find_damage(self.writer.output / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}") is not None:
            self.guard.losses.restore_generators()
            wrapped: Any = self.model_wrapped
            self._save_checkpoint(wrapped, None)

"""Pre-training with an objective beside plain masked language modelling: its loss, its items, its own parameters.

What is trained beside the language model lies in checkpoints, in a file of its own, and never in the final model.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from .arguments import PretrainingArguments
from .objectives import Objective, ObjectiveBatch
from .trainer import PretrainingTrainer

OBJECTIVE_FILE = "objective.safetensors"


class ObjectiveTrainer(PretrainingTrainer):
    """Pre-training whose loss comes from an objective.

    Args:
        objective: The module around the language model.
        args: As for `PretrainingTrainer`.
        kwargs: As for `PretrainingTrainer`.

    Raises:
        ValueError: For options that work on the plain loss alone.
    """

    def __init__(self, objective: Objective, args: PretrainingArguments, **kwargs: Any) -> None:
        if args.load_best_model_at_end:
            raise ValueError("load_best_model_at_end would not load an objective; set it to false, or objective: mlm")
        if args.z_loss:
            raise ValueError(f"z_loss={args.z_loss} works on the plain loss alone; set it to 0, or objective: mlm")
        self.objective = objective
        self._own_items: torch.Tensor | None = None
        self._part_losses: dict[str, torch.Tensor] = {}
        self._steps = 0
        super().__init__(objective, args, **kwargs)  # pyright: ignore[reportArgumentType]

        if self.masking_feedback.tables:
            raise ValueError(
                f"objective '{args.objective}' gives no feedback about single tokens; use objective: mlm or a masking "
                "without a table that follows the model"
            )

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple[list, Any]:
        """Take the micro-batches of one step, and count what the objective's own sums are divided by."""
        samples, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        if samples:
            self._own_items = self._count_own_items(samples, device)
            self._steps += 1
        return samples, items

    def _count_own_items(self, samples: list, device: torch.device) -> torch.Tensor:
        """Count over the whole step what the objective's own sums are divided by, as the Trainer counts labels."""
        counts = [self.objective.count_items(ObjectiveBatch.from_inputs(inputs)) for inputs in samples]
        total = torch.stack(counts).sum().to(device)
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            gathered: Any = self.accelerator.gather(total)
            total = gathered.sum()
        return total

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the objective's loss of a micro-batch, and keep its parts for the log."""
        # The sample of accuracy needs logits of the plain head, which an objective may not have.
        self._words = None
        progress = self.state.global_step / max(self.state.max_steps, 1)
        given = {**inputs, "own_items": self._own_items, "progress": progress}
        both: Any = super().compute_loss(model, given, True, num_items_in_batch)
        loss, outputs = both
        for name, value in outputs.items():
            if name != "loss":
                self._part_losses[name] = self._part_losses.get(name, 0.0) + value
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the mean of each part of the loss, before its weight, to a training log."""
        if "loss" in logs and self._steps:
            logs |= self._mean_part_losses()
        super().log(logs, start_time)

    def _mean_part_losses(self) -> dict[str, float]:
        how = "sum" if self.args.average_tokens_across_devices else "mean"
        means = {}
        for name, summed in self._part_losses.items():
            reduced: Any = self.accelerator.reduce(summed, reduction=how)
            means[f"loss_{name}"] = float(reduced) / self._steps
        self._part_losses, self._steps = {}, 0
        return means

    def _predict_masked(self, inputs: dict[str, Any]) -> torch.Tensor:
        return self.objective.predict(ObjectiveBatch.from_inputs(self._prepare_inputs(inputs)))

    def _save_weights(self, folder: Path, state_dict: dict[str, Any] | None) -> None:
        """Save the language model, and in a checkpoint what the objective has beside it."""
        if not self.args.should_save:
            return
        folder.mkdir(parents=True, exist_ok=True)
        state_dict, parts = self.objective.split_state(state_dict)
        self.objective.language_model.save_pretrained(folder, state_dict=state_dict)
        if parts and folder.name.startswith(PREFIX_CHECKPOINT_DIR):
            save_file({name: value.contiguous() for name, value in parts.items()}, folder / OBJECTIVE_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Load the language model, and what the objective has beside it.

        Raises:
            ValueError: If the checkpoint lacks tensors of the objective.
        """
        if self.is_fsdp_enabled:
            return super()._load_from_checkpoint(resume_from_checkpoint, model)  # pyright: ignore[reportArgumentType]
        super()._load_from_checkpoint(resume_from_checkpoint, self.objective.language_model)
        wanted = self.objective.split_state()[1]
        file = Path(resume_from_checkpoint) / OBJECTIVE_FILE
        found = load_file(file) if file.is_file() else {}
        if wanted.keys() != found.keys():
            lacking = ", ".join(sorted(wanted.keys() ^ found.keys())[:3])
            raise ValueError(f"{file} does not fit objective '{self.args.objective}' (first differences: {lacking})")
        self.objective.load_state_dict(found, strict=False)

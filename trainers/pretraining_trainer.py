"""Pre-training with whole-word masking: one run over all stages, exact in resume, one clock for rate and learning rate.

The command's function is `run_pretraining`; `PretrainingTrainer` is the Trainer behind it. What a step sees follows
from its number alone: the batch (`StagedBatches`), the masks (a hash of seed, epoch, row), the learning rate and the
masking rate (both functions of step / max_steps). So a resumed run has nothing to restore but weights and optimizer.
"""

import logging
import time
from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from ..evaluation.masked_language_modeling import MaskedLanguageModelingScores, MaskedTokens, UnigramBaseline
from ..tokenization.loading import save_tokenizer
from ..tokenization.output_folder import write_text_atomically
from .curriculum import MaskingInTrainingStep, MaskingRateCallback, mask_tensors
from .masking import Masker, MaskVocabulary, chinese_modernbert
from .optimizers import build_optimizer
from .packing import PackedRows
from .pretraining_arguments import PretrainingArguments
from .schedules import build_schedule
from .stages import Stage, StagedBatches, stack_rows, stage_at
from .training_log import LOG_FILE, TrainingLogCallback

logger = logging.getLogger(__name__)

MESSAGE_DOCUMENTS = 8
TRAINING_ARGUMENTS_PICKLE = "training_args.bin"


class StageCallback(TrainerCallback):
    """Give the model the RoPE bases of the stage that a step belongs to; the model reads them at every forward.

    Args:
        stages: Stages of the run.
        ends: Steps at which they end.
    """

    def __init__(self, stages: list[Stage], ends: list[int]) -> None:
        self.stages, self.ends = stages, ends

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the bases; where they are set already nothing happens."""
        stage = self.stages[stage_at(state.global_step, self.ends)]
        config = kwargs["model"].config
        wanted = {"full_attention": stage.global_rope_theta, "sliding_attention": stage.local_rope_theta}
        for layer_type, theta in wanted.items():
            if theta is not None and config.rope_parameters[layer_type]["rope_theta"] != theta:
                config.rope_parameters[layer_type]["rope_theta"] = theta
                logger.info("step %d: RoPE base of %s layers is now %g", state.global_step, layer_type, theta)


class PretrainingTrainer(MaskingInTrainingStep):
    """Trainer over all stages; masking, loss and clocks as said at the top of the file.

    Args:
        model: A masked language model that takes `document_ids` and divides its loss by `num_items_in_batch`.
        args: Arguments with `max_steps` set.
        batches: Micro-batches of the whole run.
        masker: The masker with its rate schedule.
        tokenizer: Saved with every checkpoint.
        eval_rows: Rows for evaluation, or None.
        unigram: Baseline for evaluation; needed with `eval_rows`.
        record: Files (name -> text) that go into every checkpoint, such as the recipe.
    """

    args: PretrainingArguments
    model: PreTrainedModel

    def __init__(
        self,
        model: PreTrainedModel,
        args: PretrainingArguments,
        batches: StagedBatches,
        masker: Masker,
        tokenizer: PreTrainedTokenizerFast,
        eval_rows: PackedRows | None = None,
        unigram: UnigramBaseline | None = None,
        record: dict[str, str] | None = None,
    ) -> None:
        self.batches, self.tokenizer, self.eval_rows, self.unigram = batches, tokenizer, eval_rows, unigram
        self.record = record or {}
        self._tokens = self._positions = 0
        self._clock = time.perf_counter()
        super().__init__(
            model,
            args,
            train_dataset=batches,
            masker=masker,
            eval_dataset=eval_rows,
        )
        self.model_accepts_loss_kwargs = True
        # The same masks for every method and seed, or their scores could not be compared.
        vocabulary = MaskVocabulary.from_tokenizer(tokenizer)
        self.evaluation_masker = replace(chinese_modernbert(vocabulary), rate=args.eval_mask_rate)
        self.add_callback(StageCallback(batches.stages, batches.ends))
        self.add_callback(MaskingRateCallback(self.masking_statistics, args.maximum_single_token_share))
        self.add_callback(TrainingLogCallback(Path(args.output_dir or ".") / LOG_FILE))

    # Data

    def get_train_dataloader(self) -> DataLoader:
        """Return the micro-batches in order; skipping to a step skips numbers, it reads nothing."""
        workers = self.args.dataloader_num_workers
        loader = DataLoader(
            self.batches,
            batch_size=1,
            collate_fn=_only_item,
            num_workers=workers,
            pin_memory=self.args.dataloader_pin_memory and torch.cuda.is_available(),
            persistent_workers=workers > 0,
            prefetch_factor=self.args.dataloader_prefetch_factor if workers else None,
        )
        return self.accelerator.prepare(loader)

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple[list, Any]:
        """Take the micro-batches of one step, masked; the clock of tokens/s starts with the first."""
        if self.state.global_step == self._initial_global_step:
            self._clock = time.perf_counter()
        return super().get_batch_samples(epoch_iterator, num_batches, device)

    def _mask_training_batch(self, inputs: MutableMapping[str, Any]) -> dict[str, Any]:
        """Mask one micro-batch, count its tokens, and keep its number for messages."""
        number = int(inputs.pop("micro_batch"))
        self._tokens += int((inputs["document_ids"] >= 0).sum())
        self._positions += inputs["document_ids"].numel()
        return {**super()._mask_training_batch(inputs), "micro_batch": number}

    # Optimization

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Build the optimizer over matrices (decayed) and norms and biases (not)."""
        if self.optimizer is None:
            args = self.args
            betas = (args.adam_beta1, args.adam_beta2)
            self.optimizer = build_optimizer(
                args.optimizer,
                self.model if model is None else model,
                args.learning_rate,
                betas,
                args.adam_epsilon,
                args.weight_decay,
            )
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Build the learning-rate schedule over all stages."""
        if self.lr_scheduler is None:
            args, warmup = self.args, self.args.get_warmup_steps(num_training_steps)
            self.lr_scheduler = build_schedule(
                args.lr_schedule,
                optimizer or self.optimizer,
                warmup,
                num_training_steps,
                floor=args.lr_floor,
                cycles=args.lr_cycles,
                gamma=args.lr_gamma,
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Forward and backward of one micro-batch.

        Raises:
            ValueError: If the loss is not finite; says the step and where the documents of the micro-batch lie.
        """
        number = inputs.pop("micro_batch")
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            documents = self.batches.documents_of(number)
            shown = ", ".join(documents[:MESSAGE_DOCUMENTS]) + (" ..." if len(documents) > MESSAGE_DOCUMENTS else "")
            raise ValueError(
                f"the loss became {float(loss)} at step {self.state.global_step} in micro-batch {number}, "
                f"documents {shown}; "
                "the last checkpoint is intact: lower learning_rate or look at those documents, then --resume auto"
            )
        return loss

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """Return the gradient norm, and stop before it spoils the weights if it is not finite.

        Raises:
            ValueError: If the norm is not finite.
        """
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if norm is not None and not np.isfinite(float(norm)):
            raise ValueError(
                f"the gradient norm became {float(norm)} at step {self.state.global_step}; the last checkpoint is "
                "intact: lower learning_rate, then --resume auto"
            )
        return norm

    # Logs, evaluation, checkpoints

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add tokens/s (real tokens, all processes), fill and stage to a training log."""
        if "loss" in logs and self._positions:
            seconds = max(time.perf_counter() - self._clock, 1e-9)
            stage = stage_at(self.state.global_step - 1, self.batches.ends)
            logs |= {
                "tokens_per_second": round(self._tokens * self.args.world_size / seconds, 1),
                "fill": round(self._tokens / self._positions, 5),
                "stage": stage + 1,
                "positions_seen": self.batches.positions_before(self.state.global_step),
            }
            self._tokens = self._positions = 0
            self._clock = time.perf_counter()
        super().log(logs, start_time)

    @torch.no_grad()
    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Score the model on `eval_rows` (or other rows) under masks that never change: fixed rate, seed and epoch.

        Returns:
            Loss, masked-token and masked-word accuracy, each beside the unigram guess, overall and by source.

        Raises:
            ValueError: If there are no rows or no baseline.
        """
        rows = eval_dataset if isinstance(eval_dataset, PackedRows) else self.eval_rows
        if rows is None or self.unigram is None:
            raise ValueError("evaluation needs eval_data; give a folder of prepared shards, or set eval_strategy: 'no'")
        began = time.perf_counter()
        scores = MaskedLanguageModelingScores(self.unigram, rows.shards.source_names)
        was_training = self.model.training
        self.model.eval()
        size = max(1, self.batches.tokens_per_micro_batch // rows.context_length)
        for first in range(self.args.process_index * size, len(rows), size * self.args.world_size):
            scores.update(self._score(rows, range(first, min(first + size, len(rows)))))
        self.model.train(was_training)
        sums: Any = self.accelerator.reduce(torch.from_numpy(scores.sums).to(self.args.device))
        scores.sums = sums.cpu().numpy()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.compute().items()}
        for source, figures in scores.compute_by_source().items():
            metrics |= {f"{metric_key_prefix}_{name}/{source}": value for name, value in figures.items()}
        metrics[f"{metric_key_prefix}_runtime"] = round(time.perf_counter() - began, 2)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self._clock += time.perf_counter() - began
        return metrics

    def _score(self, rows: PackedRows, numbers: range) -> MaskedTokens:
        """Mask some rows, run the model and return what it says about the masked tokens, in reading order."""
        batch = stack_rows([rows[number] for number in numbers])
        inputs, masked = mask_tensors(self.evaluation_masker, batch, progress=1.0, epoch=0)
        with self.compute_loss_context_manager():
            logits = self.model(**self._prepare_inputs(inputs)).logits
        selected, documents = masked["selected"], batch["document_ids"].numpy()
        labels = masked["labels"][selected]
        kept = torch.from_numpy(labels).to(logits.device)
        losses = nn.functional.cross_entropy(logits.float(), kept, reduction="none")
        chosen = masked["units"].take(masked["chosen"])
        owners = [rows.shards.source_of[rows.documents_of(number)][documents[i]] for i, number in enumerate(numbers)]
        return MaskedTokens(
            labels=labels,
            predictions=logits.argmax(-1).cpu().numpy(),
            losses=losses.cpu().numpy(),
            words=np.repeat(np.arange(len(chosen.length)), chosen.length),
            sources=np.stack(owners)[selected],
        )

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Save weights, tokenizer and record; the library's pickle of the arguments is left out."""
        super()._save(output_dir, state_dict)
        folder = Path(output_dir or self.args.output_dir or ".")
        if self.args.should_save:
            (folder / TRAINING_ARGUMENTS_PICKLE).unlink(missing_ok=True)
            save_tokenizer(self.tokenizer, folder)
            for name, text in self.record.items():
                write_text_atomically(folder / name, text)


def _only_item(items: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the one micro-batch of a list; it is a batch already."""
    return items[0]

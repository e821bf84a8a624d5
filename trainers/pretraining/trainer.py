"""Pre-training with whole-word masking: one run over all stages, exact in resume, one clock for rate and learning rate.

The command's function is `run_pretraining`; `PretrainingTrainer` is the Trainer behind it. What a step sees follows
from its number alone: the batch (`StagedBatches`), the masks (a hash of seed, epoch, row), the learning rate and the
masking rate (both functions of step / max_steps). So a resumed run has nothing to restore but weights, optimizer,
dropout's generator and the guard's last losses.
"""

import json
import logging
import shutil
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ...evaluation.language_modeling.masked_words import MaskedLanguageModelingScores, UnigramBaseline
from ...runtime.files import write_text_atomically
from ...runtime.token_rows import IGNORED_LABEL
from ...tokenization.loading import save_tokenizer
from ..data.packing import PackedRows
from ..data.stages import StagedBatches, stage_at
from ..masking import Masker, MaskVocabulary, chinese_modernbert
from ..masking.trainer import MaskingRateCallback, MaskingTrainer
from .arguments import PretrainingArguments
from .callbacks import StageCallback
from .checkpoints import WRITING, drop_old_checkpoints, find_damage, move_into_place, report_failed_writing
from .evaluation import flat_metrics, score_rows
from .guards import BatchGuard, StepLosses, StopOnSignal, describe_documents, heed_only_the_parent
from .log import LOG_FILE, LogWindow, TrainingAccuracy, TrainingLogCallback, masked_words
from .optimizers import build_optimizer
from .schedules import build_schedule
from .throughput import SpeedMeter, peak_flops
from .z_loss import labelled_logits, z_loss

logger = logging.getLogger(__name__)

MESSAGE_DOCUMENTS = 8
TRAINING_ARGUMENTS_PICKLE = "training_args.bin"
RUN_STATE = "run_state.json"


class PretrainingTrainer(MaskingTrainer):
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
        self.guard = BatchGuard(args.on_bad_batch, args.spike_factor, args.max_skipped)
        self.stop_on_signal = StopOnSignal()
        self.training_log = TrainingLogCallback(Path(args.output_dir or ".") / LOG_FILE)
        peak = args.peak_flops or peak_flops(args.device, args.bf16 or args.fp16)
        config: Any = model.config
        self.meter = SpeedMeter(config, args.world_size, peak)
        self.accuracy, self.window, self.step_losses = TrainingAccuracy(), LogWindow(), StepLosses()
        self._words: np.ndarray | None = None
        self._wants_words = self._is_writing = False
        super().__init__(model, args, train_dataset=batches, masker=masker, eval_dataset=eval_rows)
        self.model_accepts_loss_kwargs = True
        # The same masks for every method and seed, or their scores could not be compared.
        vocabulary = MaskVocabulary.from_tokenizer(tokenizer)
        self.evaluation_masker = replace(chinese_modernbert(vocabulary), rate=args.eval_mask_rate)
        self.add_callback(StageCallback(batches.stages, batches.ends))
        # First of all, so that trackers see what it adds to a log.
        watch = MaskingRateCallback(self.masking_statistics, args.maximum_single_token_share)
        self.callback_handler.callbacks.insert(0, watch)
        self.add_callback(self.training_log)
        self.add_callback(self.stop_on_signal)

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
            worker_init_fn=heed_only_the_parent,
        )
        return self.accelerator.prepare(loader)

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple[list, Any]:
        """Take the micro-batches of one step, masked; the clock of tokens/s starts with the first."""
        step = self.state.global_step
        if step == self._initial_global_step:
            self.meter.restart()
        self.window.begin_step(self._tr_loss)
        self.step_losses.clear()
        is_logged = (step + 1) % self.state.logging_steps == 0 or (step == 0 and self.args.logging_first_step)
        self._wants_words = is_logged and self.args.logging_strategy == "steps"
        return super().get_batch_samples(epoch_iterator, num_batches, device)

    def _mask_training_batch(self, inputs: MutableMapping[str, Any]) -> dict[str, Any]:
        """Mask one micro-batch, count its work, and keep its number for messages and, for a sample, its words."""
        number, documents = int(inputs.pop("micro_batch")), inputs["document_ids"].cpu().numpy()
        word_ids = inputs["word_ids"].cpu().numpy() if self._wants_words else None
        masked = super()._mask_training_batch(inputs)
        labels = masked["labels"].cpu().numpy()
        self.meter.observe(documents, int((labels != IGNORED_LABEL).sum()))
        words, self._wants_words = None if word_ids is None else masked_words(word_ids, labels), False
        return {**masked, "micro_batch": number, "words": words}

    # Optimization

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Build the optimizer over matrices (decayed) and norms and biases (not)."""
        if self.optimizer is None:
            args = self.args
            self.optimizer = build_optimizer(
                args.optimizer,
                self.model if model is None else model,
                args.learning_rate,
                (args.adam_beta1, args.adam_beta2),
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
                decay_share=args.lr_decay_share,
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the cross-entropy at the masked positions, and the z-loss where it is wanted."""
        found: Any = super().compute_loss(model, inputs, True, num_items_in_batch)
        loss, outputs = found
        factor, words, self._words = self.args.z_loss, self._words, None
        if factor or words is not None:
            logits, labels = labelled_logits(outputs["logits"], inputs["labels"])
            if words is not None:
                self.accuracy.observe(logits.argmax(-1), labels, words)
            if factor:
                term = factor * self._processes_of(num_items_in_batch) * z_loss(logits, num_items_in_batch)
                self.window.z_loss = self.window.z_loss + term.detach()
                loss = loss + term
        return (loss, outputs) if return_outputs else loss

    def _processes_of(self, num_items_in_batch: torch.Tensor | int | None) -> int:
        """Return by what a loss that was divided by the items of all processes is multiplied: their mean is taken."""
        averaged = self.args.average_tokens_across_devices and num_items_in_batch is not None
        return self.accelerator.num_processes if averaged else 1

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Forward and backward of one micro-batch; its loss is judged with the step's others, before the update."""
        number, self._words = inputs.pop("micro_batch"), inputs.pop("words")
        if not self.step_losses.numbers and self.guard.spike_factor is not None:
            self.step_losses.remember_generators()
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.step_losses.add(number, loss)
        return loss

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """Return the gradient norm, the last moment before the weights change: a bad step is caught here.

        Raises:
            ValueError: If the step is bad and is not to be skipped.
        """
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        sums: Any = self.accelerator.gather(self.step_losses.summary(self.args.device))
        problem = self.guard.judge(float(sums[:, 0].mean()), None if norm is None else float(norm))
        if problem is None:
            return norm
        self._handle_bad_step(problem, self._worst_micro_batch(sums))
        model.zero_grad()  # an optimizer passes over parameters without a gradient: neither weights nor moments move
        self.window.take_back_step(self._tr_loss)
        return None

    def _worst_micro_batch(self, sums: torch.Tensor) -> int:
        """Return the number of the micro-batch with the largest loss on any process."""
        process = int(sums[:, 1].argmax())
        own, place = self.step_losses.numbers, int(sums[process, 2])
        # Processes take the micro-batches of a step in turn.
        return own[place] - self.args.process_index + process

    def _handle_bad_step(self, problem: str, number: int) -> None:
        """Write down a bad step and count it, or end the run."""
        step, documents = self.state.global_step, self.batches.documents_of(number)
        action = "skipped" if self.guard.may_skip else "stopped"
        found = {"bad_step": problem, "action": action, "micro_batch": number, "documents": documents}
        self.training_log.write(self.state, {"step": step + 1, **found})
        shown = describe_documents(documents, MESSAGE_DOCUMENTS)
        message = f"{problem} at step {step} in micro-batch {number}, documents {shown}"
        if self.guard.may_skip:
            self.guard.skipped += 1
            logger.warning("%s; the step is skipped (%d of %d)", message, self.guard.skipped, self.guard.max_skipped)
            return
        if problem.startswith("the loss rose"):
            self._save_before_step()
        limit = f"; {self.guard.skipped} steps were skipped before" if self.guard.skipped else ""
        raise ValueError(
            f"{message}{limit}; the last checkpoint is from before it: --resume auto --on_bad_batch skip leaves the "
            "step out, or start a new run from that checkpoint (--model) with a lower learning_rate"
        )

    def _save_before_step(self) -> None:
        """Save the state at the end of the step before; the weights have not changed, the generators have."""
        checkpoint = Path(self.args.output_dir or ".") / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if find_damage(checkpoint) is not None:
            self.step_losses.restore_generators()
            wrapped: Any = self.model_wrapped
            self._save_checkpoint(wrapped, None)

    # Logs, evaluation, checkpoints

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add speed, filling, sampled accuracy, stage and skips to a training log."""
        if "loss" in logs and self.window.steps:
            self.window.correct(logs, bool(self.args.z_loss))
            logs |= {
                **self.accuracy.as_logs(),
                **self.meter.as_logs(),
                "stage": stage_at(self.state.global_step - 1, self.batches.ends) + 1,
                "positions_seen": self.batches.positions_before(self.state.global_step),
            }
            if self.guard.action == "skip":
                logs["skipped_steps"] = self.guard.skipped
        super().log(logs, start_time)

    @torch.no_grad()
    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Score the model on `eval_rows` (or other rows) under masks that never change: fixed rate, seed and epoch.

        Returns:
            Loss, masked-token and masked-word accuracy, each beside the unigram guess, overall, by source and by
            position in the document.

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
        # Every process makes as many forwards as the others: a sharded model exchanges weights in each of them.
        for first in range(0, len(rows), size * self.args.world_size):
            own = range(first + self.args.process_index * size, len(rows))[:size]
            numbers = own or range(first, first + 1)
            tokens = score_rows(self._predict_masked, rows, numbers, self.evaluation_masker)
            if own:
                scores.update(tokens)
        self.model.train(was_training)
        sums: Any = self.accelerator.reduce(torch.from_numpy(scores.sums).to(self.args.device))
        scores.sums = sums.cpu().numpy()
        metrics = flat_metrics(scores, metric_key_prefix)
        metrics[f"{metric_key_prefix}_runtime"] = round(time.perf_counter() - began, 2)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.meter.pause(time.perf_counter() - began)
        return metrics

    def _predict_masked(self, inputs: dict[str, Any]) -> torch.Tensor:
        """Return the logits at the labelled positions, `[masked, V]`."""
        return self.model(**self._prepare_inputs(inputs)).logits

    def save_final(self, folder: Path) -> None:
        """Save weights, tokenizer and record of the finished run."""
        with self._written_whole(folder) as writing:
            self.save_model(str(writing))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save a checkpoint that is whole or not there, then drop the oldest ones over `save_total_limit`."""
        began, output = time.perf_counter(), Path(self.args.output_dir or ".")
        checkpoint = output / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        with self._written_whole(checkpoint):
            super()._save_checkpoint(model, trial)
        if self.args.should_save:
            drop_old_checkpoints(output, checkpoint, self.args.save_total_limit)
        self.meter.pause(time.perf_counter() - began)

    @contextmanager
    def _written_whole(self, target: Path) -> Iterator[Path]:
        """Yield the folder to write in place of `target`, which gets that name when every process is done."""
        output, wait = target.parent, self.accelerator.wait_for_everyone
        if self.args.should_save:
            shutil.rmtree(output / WRITING, ignore_errors=True)
        wait()
        self._is_writing = True
        try:
            with report_failed_writing(output, target.name):
                yield output / WRITING / target.name
                wait()
                if self.args.should_save:
                    move_into_place(output / WRITING / target.name, target)
                wait()
        finally:
            self._is_writing = False

    def _get_output_dir(self, trial: Any) -> str:
        """Return the run's folder, while a checkpoint is written that of unfinished ones."""
        folder = super()._get_output_dir(trial)
        return str(Path(folder) / WRITING) if self._is_writing else folder

    def _save_weights(self, folder: Path, state_dict: dict[str, Any] | None) -> None:
        """Save the model."""
        super()._save(str(folder), state_dict)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Save weights, tokenizer, record and the guard's state; the library's pickle of the arguments is left out."""
        folder = Path(output_dir or self.args.output_dir or ".")
        self._save_weights(folder, state_dict)
        if self.args.should_save:
            (folder / TRAINING_ARGUMENTS_PICKLE).unlink(missing_ok=True)
            save_tokenizer(self.tokenizer, folder)
            for name, text in {**self.record, RUN_STATE: json.dumps(self.guard.state()) + "\n"}.items():
                write_text_atomically(folder / name, text)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Restore optimizer, schedule and guard."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.guard.restore(json.loads((Path(checkpoint) / RUN_STATE).read_text(encoding="utf-8")))


def _only_item(items: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the one micro-batch of a list; it is a batch already."""
    return items[0]

"""The Trainer of pre-training: one run over all stages, exact in resume, one clock for rate and learning rate.

What a step sees follows from its number alone: the batch (`StagedBatches`), the masks (a hash of seed, epoch, row), the
learning rate and the masking rate (both functions of step / max_steps). So a resumed run has nothing to restore but
weights, optimizer, dropout's generator and the guard's last losses; and batches are made ahead, masks and all
(`MaskedBatches`). From their arrival to the guard's judgement no step waits for the device.
"""

import time
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel

from ..data.stages import StagedBatches
from ..masking import Masker
from ..masking.statistics import MaskingCounts
from ..masking.trainer import FEEDBACK_KEYS, LOSS_WEIGHT, MaskingRateCallback, MaskingTrainer
from ..masking.units import has_single_tokens
from .arguments import PretrainingArguments
from .averages import WeightAveraging, trained_weights
from .batches import FACTS, IS_CAUSAL, UNMASKED, MaskedBatches
from .callbacks import StageCallback, StopOnSignal, heed_only_the_parent
from .checkpoints import CheckpointWriter, find_damage, numbered_checkpoints, read_run_state, require_whole
from .evaluation import Evaluation
from .guards import WEIGHTS, BatchGuard, StepGuard, StepLosses, refuse_unsound_state
from .log import RunLog
from .objectives import Objective, z_loss_part
from .optimizers import build_optimizer, check_optimizer, take_moments
from .schedules import schedule_of_run
from .throughput import SpeedMeter
from .trainer_hooks import TrainerHooks
from .vocabulary import EmbeddingMeanCallback


class PretrainingTrainer(TrainerHooks, MaskingTrainer):
    """Trainer over all stages, made of parts: batches, checkpoint writer, guard, log, evaluation, objective.

    Args:
        model: a masked language model that takes `document_ids` and divides its loss by `num_items_in_batch`
        args: arguments with `max_steps` set
        batches: micro-batches of the whole run
        masker: the masker with its rate schedule
        writer: writes the checkpoints
        evaluation: what is evaluated on, or None
        objective: the module around the model that gives the loss; None takes the model's own

    Raises:
        ValueError: If the run has other steps than its batches, or this process would spread a batch over devices.
    """

    args: PretrainingArguments
    model: PreTrainedModel
    train_dataset: MaskedBatches

    def __init__(
        self,
        model: PreTrainedModel,
        args: PretrainingArguments,
        batches: StagedBatches,
        masker: Masker,
        writer: CheckpointWriter,
        evaluation: Evaluation | None = None,
        objective: Objective | None = None,
    ) -> None:
        check_run(args, batches)
        trained: Any = model if objective is None else objective
        self.batches, self.writer, self.evaluation, self.objective = batches, writer, evaluation, objective
        self.run_log = RunLog(writer.output, batches, SpeedMeter.of_run(args, model.config))
        self.guard = StepGuard(BatchGuard.of_run(args), batches.documents_of, self.run_log.file.write)
        self.stop_on_signal = StopOnSignal()
        self.averages = None if args.ema_decay is None else WeightAveraging(args.ema_decay)
        rows = None if evaluation is None else evaluation.rows
        # An objective reads rows, and a recorded graph of one long row would attend from every token to every other.
        flat = objective is None and not args.torch_compile
        window, share = model.config.local_attention // 2, args.causal_share
        ready = MaskedBatches(batches, masker, window, flat, filled=args.compile_layers, causal_share=share)
        if args.compile_layers:
            model.compile_layers()  # pyright: ignore[reportCallIssue]
        super().__init__(trained, args, train_dataset=ready, masker=masker, eval_dataset=rows)
        self.model_accepts_loss_kwargs = True
        # First of all, so that trackers see what it adds to a log.
        most = None if has_single_tokens(masker.units) else args.maximum_single_token_share
        watch = MaskingRateCallback(self.masking_statistics, most)
        self.callback_handler.callbacks.insert(0, watch)
        for callback in (StageCallback(batches.stages, batches.ends), self.run_log.file, self.stop_on_signal):
            self.add_callback(callback)
        if args.center_embeddings:
            self.add_callback(EmbeddingMeanCallback())
        if self.averages is not None:
            self.add_callback(self.averages)  # after the callbacks that project the weights

    def restore(self, checkpoint: str) -> None:
        """Restore from a checkpoint what the library knows nothing of: guard, averages, the objective's own tensors."""
        require_whole(checkpoint)
        super().restore(checkpoint)
        if self.averages is not None:
            self.averages.load(Path(checkpoint))
        self.guard.batch_guard.restore(read_run_state(checkpoint))
        if self.objective is not None and not self.is_fsdp_enabled:
            self.objective.load_own(checkpoint)

    def get_train_dataloader(self) -> DataLoader:
        """Return the micro-batches in order; skipping to a step skips numbers, it reads nothing."""
        workers, prefetched = self.args.dataloader_num_workers, self.args.dataloader_prefetch_factor
        if workers and prefetched is None:
            # A step takes all its micro-batches at once: those of the next are to be ready by then. Our default.
            prefetched = max(2, -(-2 * self.args.gradient_accumulation_steps // workers))
        is_pinned = self.args.dataloader_pin_memory and self.args.device.type == "cuda"
        loader = DataLoader(
            self.train_dataset,
            batch_size=1,
            collate_fn=itemgetter(0),  # the one item of a list is a batch already
            num_workers=workers,
            pin_memory=is_pinned,
            persistent_workers=workers > 0,
            prefetch_factor=prefetched,
            worker_init_fn=heed_only_the_parent,
        )
        # From pinned memory the host need not wait for a copy to end.
        self.accelerator.dataloader_config.non_blocking |= is_pinned
        return self.accelerator.prepare(loader)

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple[list, Any]:
        """Take the micro-batches of one step, masked; the objective counts its items over all of them."""
        self.run_log.begin_step(self.args, self.state, self._tr_loss, has_plain_head=self.objective is None)
        self.guard.begin_step()
        samples, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self.objective is not None and samples:
            progress = self.state.global_step / max(self.state.max_steps, 1)
            self.objective.prepare_step(samples, progress, device, self.args.average_tokens_across_devices)
        return samples, items

    def _mask_training_batch(self, inputs: MutableMapping[str, Any]) -> tuple[dict[str, Any], MaskingCounts]:
        """Take a micro-batch that came masked, or mask one whose masks follow the model, and measure it."""
        taken = dict(inputs)
        if UNMASKED in inputs:
            taken, masked = self.train_dataset.mask(inputs[UNMASKED].columns)
            if self.masking_feedback.tables:
                taken[FEEDBACK_KEYS] = self.masking_feedback.keys(masked)
        self.run_log.observe_batch(taken[FACTS])
        return taken, taken[FACTS].masks

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Build the optimizer over matrices (decayed) and norms and biases (not)."""
        if self.optimizer is None:
            args, betas = self.args, (self.args.adam_beta1, self.args.adam_beta2)
            check_optimizer(args)
            decay = (args.weight_decay, args.weight_decay_embeddings)
            rest = (args.learning_rate, betas, args.adam_epsilon, *decay, args.muon_learning_rate, args.muon_momentum)
            self.optimizer = build_optimizer(args.optimizer, self.model if model is None else model, *rest)
            if args.take_optimizer:  # the state of a run that goes on is loaded over it later
                take_moments(self.optimizer, Path(args.model))
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Build the learning-rate schedule over all stages."""
        if self.lr_scheduler is None:
            self.lr_scheduler = schedule_of_run(self.args, optimizer or self.optimizer, num_training_steps)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Forward and backward of one micro-batch; its loss is judged with the step's others, before the update."""
        facts = inputs.pop(FACTS)
        self.guard.begin_micro_batch(inputs)
        loss = super().training_step(model, inputs, *args, **kwargs)
        self.guard.losses.add(facts.micro_batch, loss)
        return loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the loss of a micro-batch, the objective's or cross-entropy and z-loss, and log its parts."""
        is_causal = inputs.get(IS_CAUSAL, False)
        if isinstance(num_items_in_batch, torch.Tensor):
            num_items_in_batch = num_items_in_batch[int(is_causal)]
        both: Any = super().compute_loss(model, inputs, True, num_items_in_batch)
        loss, outputs = both
        if self.args.causal_share:
            self.run_log.window.add_kind(loss, is_causal, 1 / self.current_gradient_accumulation_steps)
        # A loss that was divided by the items of all processes is multiplied: the mean over processes is taken.
        averaged = self.args.average_tokens_across_devices and num_items_in_batch is not None
        times = self.accelerator.num_processes if averaged else 1
        if self.objective is not None:
            parts = self.objective.logged_parts(outputs)
        else:
            self.run_log.accuracy.observe_sample(outputs["logits"], inputs["labels"])
            parts = z_loss_part(self.args.z_loss, outputs["logits"], inputs["labels"], num_items_in_batch)
            loss = sum((times * part for part in parts.values()), start=loss)
        for name, part in parts.items():
            self.run_log.window.add(name, times * part)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add to a training log what the run measured since the last one."""
        if "loss" in logs:
            mean = partial(self.accelerator.reduce, reduction="mean")
            self.run_log.complete(logs, self.state.global_step, mean)
            logs |= self.guard.as_logs()
        super().log(logs, start_time)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Score the model under masks that never change, with the unigram baseline; without `evaluation` an error."""
        if self.evaluation is None:
            raise ValueError("evaluation needs eval_data; give a folder of prepared shards, or set eval_strategy: 'no'")
        began = time.perf_counter()
        with self.averaged_weights() if self.args.ema_evaluation else nullcontext():
            metrics = self.evaluation.metrics(self.model, self.objective, self.accelerator, metric_key_prefix)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.run_log.meter.pause(time.perf_counter() - began)
        return metrics

    def averaged_weights(self) -> AbstractContextManager[None]:
        """Give the model the averaged weights for a while; without `ema_decay` nothing."""
        return nullcontext() if self.averages is None else self.averages.in_place(self.model)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save weights, tokenizer, record and the guard's state, and in a checkpoint the objective's own tensors.

        Raises:
            ValueError: On every process, if the weights are not fit to be saved.
        """
        folder = Path(output_dir or self.writer.output)
        self._refuse_unsound_state()
        if self.objective is None:
            super().save_model(str(folder), _internal_call)
        else:
            state: Any = self.accelerator.get_state_dict(self.model)
            if self.args.should_save:
                self.objective.save(folder, state)
        self.writer.add_records(folder, self.guard.batch_guard.state())

    def _refuse_unsound_state(self) -> None:
        """Look at the weights, the loss they give, their average and the optimizer's state before they are saved."""
        loss, model = self._loss_of_sample(), self.model
        averages = {} if self.averages is None else self.averages.of(model)
        states: dict[Any, dict[str, Any]] = {} if self.optimizer is None else self.optimizer.state
        moments = ((name, value) for state in states.values() for name, value in state.items())
        parts = {
            WEIGHTS: trained_weights(model),
            "the averaged weights": averages.items(),
            "the optimizer's moments": ((name, value) for name, value in moments if isinstance(value, torch.Tensor)),
        }
        before = [path for path in numbered_checkpoints(self.writer.output) if find_damage(path) is None]
        advice = (
            f"start a new run from {before[-1]} (--model) with a lower learning_rate"
            if before
            else "start again with a lower learning_rate or a longer warm-up"
        )
        refuse_unsound_state(
            loss, parts, self.accelerator, f"after step {self.state.global_step}, so they are not saved; {advice}"
        )

    @torch.no_grad()
    def _loss_of_sample(self) -> torch.Tensor | None:
        """Return the loss of the weights at hand on a batch of the last good step; it leaves no trace in the run."""
        if self.guard.sample is None:
            return None
        generators = StepLosses()
        generators.remember_generators()
        inputs = self._prepare_inputs(
            {name: value for name, value in self.guard.sample.items() if name not in (LOSS_WEIGHT, FEEDBACK_KEYS)}
        )
        with self.compute_loss_context_manager():
            loss = self.model(**inputs)["loss"]
        generators.restore_generators()
        return loss


def check_run(args: PretrainingArguments, batches: StagedBatches) -> None:
    """Refuse what would train on other batches than the run's.

    Raises:
        ValueError: If the run has other steps than its batches, or this process would spread a batch over devices.
    """
    if args.max_steps != batches.ends[-1]:
        raise ValueError(
            f"max_steps={args.max_steps}, but the stages end at step {batches.ends[-1]}, and masks and learning rate "
            "follow one clock; give both the same number"
        )
    if args.n_gpu > 1:
        raise ValueError(
            f"this process sees {args.n_gpu} GPUs and a batch is for one; start a process for each with torchrun "
            f"--nproc_per_node {args.n_gpu}, or set CUDA_VISIBLE_DEVICES to one"
        )

"""Trainer for one run on one task: scores after each epoch on held-out rows, keeps the best weights, stops early."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import Trainer
from transformers.trainer_pt_utils import get_parameter_names

from ...evaluation.clue.readers import Example
from ...evaluation.clue.scores import score
from ..masking import MaskVocabulary
from ..masking.presets import faithfulness
from ..zero_mean_residual import ZeroMeanResidualCallback
from .arguments import ClueArguments
from .inputs import Feature, Predictions, TaskInputs
from .losses import TaskLoss, stacked_logits
from .models import layer_depths

MINIMUM_PATIENCE = 2
"""Epochs without a better score that every run is allowed. Source: our default."""

MASKED = "is_masked"


class Features(Dataset):
    """A list of features as a data set."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> Feature:
        return self.features[index]


class MaskingCollator:
    """Mask training features at random rates (masked fine-tuning), and leave the others as they are.

    Rows are counted as they come, so that each is masked anew every time and a run repeats exactly; for that it must
    run in the training process.

    Args:
        inputs: inputs of the task
        seed: names the family of masks
    """

    def __init__(self, inputs: TaskInputs, seed: int) -> None:
        self.inputs, self.rows = inputs, 0
        self.masker = faithfulness(MaskVocabulary.from_tokenizer(inputs.tokenizer), seed=seed)

    def __call__(self, features: Sequence[Feature]) -> dict[str, torch.Tensor]:
        """Collate and mask."""
        batch = self.inputs.collate(features)
        if MASKED not in features[0]:
            return batch
        ids = batch["input_ids"].numpy()
        special = np.isin(ids, self.inputs.tokenizer.all_special_ids)
        words = np.where(special, -1, np.arange(ids.shape[1])[None])
        samples = self.rows + np.arange(len(ids))
        self.rows += len(ids)
        masked = self.masker({"input_ids": ids, "word_ids": words, "sample_ids": samples}, progress=0.0)
        return {**batch, "input_ids": torch.from_numpy(masked["input_ids"])}


@dataclass
class Best:
    """The best epoch so far.

    Attributes:
        score: main metric on the selection rows, in percent
        epoch: number of the epoch, from 1 on
        weights: trainable weights at its end, on the CPU
    """

    score: float = -math.inf
    epoch: float = 0.0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)


class ClueTrainer(Trainer):
    """Fine-tune a model on one task.

    Args:
        model: model of `build_model`
        args: options; learning rate, epochs and batch size are those of the run
        inputs: inputs of the task
        train: training examples
        selection: examples that the epoch is chosen on
        loss: loss of the task
    """

    args: ClueArguments

    def __init__(
        self,
        model: nn.Module,
        args: ClueArguments,
        inputs: TaskInputs,
        train: Sequence[Example],
        selection: Sequence[Example],
        loss: TaskLoss,
    ) -> None:
        self.inputs, self.selection, self.best, self.history = inputs, selection, Best(), []
        features = inputs.encode(train)
        if args.masked_fine_tuning:
            features = [{**feature, MASKED: True} for feature in features]
        super().__init__(
            model=model,
            args=args,
            data_collator=MaskingCollator(inputs, args.seed) if args.masked_fine_tuning else inputs.collate,
            train_dataset=Features(features),
            eval_dataset=Features([]),
            compute_loss_func=loss,
        )
        self.add_callback(ZeroMeanResidualCallback())
        # The loss is ours: the model must not be handed the number of items, nor be believed to have used it.
        self.model_accepts_loss_kwargs = False
        self._selection: list[Feature] = []

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Make the optimizer: no decay of biases and norms, lower layers slower by `layer_decay`."""
        if self.optimizer is None:
            chosen: Any = model or self.model
            named = {name: value for name, value in chosen.named_parameters() if value.requires_grad}
            decayed = set(get_parameter_names(chosen, [nn.LayerNorm, nn.RMSNorm], ["bias", "norm"]))
            depths = layer_depths(list(named))
            groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
            for name, value in named.items():
                groups.setdefault((depths[name], name in decayed), []).append(value)
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, chosen)
            rows = [
                {
                    "params": values,
                    "lr": self.args.learning_rate * self.args.layer_decay**depth,
                    "weight_decay": self.args.weight_decay if has_decay else 0.0,
                }
                for (depth, has_decay), values in groups.items()
            ]
            self.optimizer = kind(rows, **options)
        return self.optimizer

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Score the selection rows, keep the weights if they are the best, and stop a run that has stalled."""
        found = score(self.inputs.task, self.predict_examples(self.selection).values, self.selection)
        main, epoch = found[self.inputs.task.metric], float(self.state.epoch or 0.0)
        self.history.append({"epoch": round(epoch, 3), "selection": main})
        if main > self.best.score:
            weights = {name: value.detach().cpu().clone() for name, value in self._trainable().items()}
            self.best = Best(main, epoch, weights)
        metrics = {f"eval_{name}": value for name, value in found.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        if self.args.patience and epoch - self.best.epoch >= self._patience() - 1e-6:
            self.control.should_training_stop = True
        return metrics

    def _patience(self) -> float:
        share = self.args.patience
        return max(share * self.args.num_train_epochs if share < 1 else share, MINIMUM_PATIENCE)

    def _trainable(self) -> dict[str, nn.Parameter]:
        model: Any = self.model
        return {name: value for name, value in model.named_parameters() if value.requires_grad}

    def restore_best(self) -> None:
        """Put the best weights back into the model."""
        with torch.no_grad():
            for name, value in self._trainable().items():
                value.copy_(self.best.weights[name])

    def predict_examples(self, examples: Sequence[Example]) -> Predictions:
        """Return predictions in the order of `examples`; they are run longest first, so that little is padded.

        Raises:
            ValueError: If the model gives numbers that are not finite: the first class would be their best.
        """
        if examples is not self.selection:
            features = self.inputs.encode(examples)
        else:  # tokenized once, since they are scored after every epoch
            features = self._selection = self._selection or self.inputs.encode(examples)
        order = sorted(range(len(features)), key=lambda i: -len(features[i]["input_ids"]))
        logits: Any = self.predict(Features([features[i] for i in order])).predictions  # pyright: ignore[reportArgumentType]
        if not np.isfinite(logits).all():
            raise ValueError(
                f"{self.inputs.task.name}: the model gives no finite numbers after epoch {self.state.epoch or 0:g} at "
                f"learning_rate={self.args.learning_rate:g}; lower it"
            )
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        return self.inputs.decode(logits[back], features, examples)

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[None, torch.Tensor, None]:
        """Return logits in float32, `(batch, classes)`, `(batch, length, tags)` or `(batch, length, 2)`."""
        inputs = self._prepare_inputs({name: value for name, value in inputs.items() if name != "labels"})
        with torch.no_grad(), self.compute_loss_context_manager():
            outputs = model(**inputs)
        logits = stacked_logits(outputs).float()
        return None, logits.transpose(1, 2) if "start_logits" in outputs else logits, None


def run_arguments(args: ClueArguments, inputs: TaskInputs, learning_rate: float, seed: int) -> ClueArguments:
    """Return the options of one run, with the task's numbers where none are given."""
    chosen, task = copy.copy(args), inputs.task
    chosen.learning_rate, chosen.seed = learning_rate, seed
    chosen.num_train_epochs = args.num_train_epochs or task.epochs
    chosen.per_device_train_batch_size = args.per_device_train_batch_size or task.batch_size
    if task.kind == "choice":  # a row of the batch is a question with all its choices
        chosen.per_device_eval_batch_size = max(args.per_device_eval_batch_size // 4, 1)
    chosen.label_names = ["labels"]
    chosen._n_gpu = min(args.n_gpu, 1)  # several devices would each get a part of a flat batch
    chosen.dataloader_pin_memory = args.dataloader_pin_memory and args.device.type == "cuda"
    return chosen

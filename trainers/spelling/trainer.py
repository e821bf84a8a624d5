"""Trainer of one run: after each epoch the threshold is fitted on dev, and the best epoch is kept with its own."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast, Trainer

from ...evaluation.spelling import SpellingPair
from ...modeling import ChineseModernBertForSpellingCorrection
from ...modeling.characters_chinese_modernbert import CharacterReader
from ..zero_mean_residual import ZeroMeanResidualCallback
from .arguments import SpellingArguments
from .collator import SpellingCollator, SpellingRow, spelling_rows
from .threshold import ThresholdPoint, fit_threshold, threshold_curve


class _Rows(Dataset):
    """Sentences as a data set."""

    def __init__(self, rows: Sequence[SpellingRow]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> SpellingRow:
        return self.rows[index]


@dataclass
class Best:
    """The best epoch so far.

    Attributes:
        point: its threshold, and what that gives on dev
        epoch: number of the epoch, from 1 on
        weights: trainable weights at its end, on the CPU
        curve: every threshold of that epoch
    """

    point: ThresholdPoint | None = None
    epoch: float = 0.0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    curve: list[ThresholdPoint] = field(default_factory=list)


class SpellingTrainer(Trainer):
    """Train a corrector.

    Args:
        model: the corrector
        args: options of the run
        tokenizer: the model's
        train: pairs that train
        dev: pairs that choose epoch and threshold
        confusion: by character those that it may be replaced by; None: any
    """

    args: SpellingArguments

    def __init__(
        self,
        model: ChineseModernBertForSpellingCorrection,
        args: SpellingArguments,
        tokenizer: PreTrainedTokenizerFast,
        train: Sequence[SpellingPair],
        dev: Sequence[SpellingPair],
        confusion: Mapping[str, Sequence[str]] | None,
    ) -> None:
        self.corrector, self.tokenizer, self.dev, self.confusion = model, tokenizer, dev, confusion
        self.best, self.history = Best(), []
        reader = CharacterReader(tokenizer)
        rows = list(spelling_rows(train, reader, model.settings.longest_sentence))
        if not rows:
            raise ValueError("no training pair holds a Chinese character; give other pairs")
        super().__init__(
            model=model,
            args=args,
            data_collator=SpellingCollator(reader, model.settings, model.config, args.masked_share, args.seed),
            train_dataset=_Rows(rows),
            eval_dataset=_Rows([]),
        )
        self.add_callback(ZeroMeanResidualCallback())

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Fit the threshold on dev, keep the weights if they are the best, and stop a run that has stalled."""
        curve = self._curve()
        point, epoch = fit_threshold(curve, self.args.false_positive_rate), float(self.state.epoch or 0.0)
        self.history.append({"epoch": round(epoch, 3), **asdict(point)})
        if self.best.point is None or point.f1 > self.best.point.f1:
            weights = {name: value.detach().cpu().clone() for name, value in self._trainable().items()}
            self.best = Best(point, epoch, weights, curve)
        metrics = {f"eval_{name}": value for name, value in asdict(point).items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        if self.args.patience and epoch - self.best.epoch >= self.args.patience - 1e-6:
            self.control.should_training_stop = True
        return metrics

    def restore_best(self) -> ThresholdPoint:
        """Put the best weights back into the model, with their threshold, and return what that gives on dev."""
        point = self.best.point
        if point is None:
            raise ValueError("the run ended before its first epoch, so no threshold is fitted; give more steps")
        with torch.no_grad():
            for name, value in self._trainable().items():
                value.copy_(self.best.weights[name])
        # The precision of training stays on the model; what is saved is read in float32, so the threshold is one of it.
        self.accelerator.unwrap_model(self.corrector, keep_fp32_wrapper=False)
        if self.args.bf16 or self.args.fp16:
            curve = self._curve()
            point = fit_threshold(curve, self.args.false_positive_rate)
            self.best = replace(self.best, point=point, curve=curve)
        self.corrector.change_settings(threshold=point.threshold)
        return point

    def _curve(self) -> list[ThresholdPoint]:
        """Return what every threshold gives on dev."""
        sources = [pair.source for pair in self.dev]
        edits = self.corrector.find_edits(sources, self.tokenizer, confusion=self.confusion)
        if not all(math.isfinite(edit.probability) for found in edits for edit in found):
            raise ValueError(
                f"the model gives no finite numbers at learning_rate={self.args.learning_rate:g}; lower it"
            )
        return threshold_curve(self.dev, edits)

    def _trainable(self) -> dict[str, nn.Parameter]:
        return {name: value for name, value in self.corrector.named_parameters() if value.requires_grad}


def run_arguments(arguments: SpellingArguments, seed: int) -> SpellingArguments:
    """Return the options of one run."""
    chosen = copy.copy(arguments)
    chosen.seed = seed
    chosen.label_names = ["labels"]
    chosen._n_gpu = min(arguments.n_gpu, 1)  # positions are those of the whole batch
    chosen.dataloader_pin_memory = arguments.dataloader_pin_memory and arguments.device.type == "cuda"
    return chosen

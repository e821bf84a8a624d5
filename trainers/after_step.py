"""What follows a step of the optimizer that changed the weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class AfterStep(TrainerCallback, ABC):
    """Takes the model after each step of the optimizer, in any Trainer; not after a step that changed no weight.

    Attributes:
        skips_next: the step at hand changes no weight; a trainer that drops a step sets it
    """

    def __init__(self) -> None:
        self.skips_next = False

    @abstractmethod
    def follow(self, model: nn.Module) -> None:
        """Do what follows a step."""

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Follow the step, unless it was dropped."""
        if not self.skips_next:
            self.follow(kwargs["model"])
        self.skips_next = False

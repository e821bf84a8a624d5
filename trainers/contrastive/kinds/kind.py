"""What differs between the kinds of models of sentence-transformers that the stages train."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from ..models import save_model
from ..trainer import StageTrainer


class ModelKind(ABC):
    """A kind of model: how it is loaded, trained and saved."""

    trainer: ClassVar[type[StageTrainer]]
    """Trains a stage, with the losses of this kind."""

    @abstractmethod
    def load(self, folder: str | Path, arguments: Any) -> Any:
        """Return a model with float32 weights: as a folder of this kind describes it, or a new one around an encoder.

        Raises:
            ValueError: If the folder holds a model that this kind cannot be made of.
        """

    def is_untrained(self, folder: str | Path) -> bool:
        """Return whether a model that is begun from a folder has random weights, so that scores would say nothing."""
        return False

    def save(self, model: Any, folder: Path) -> None:
        """Write a model as its class of sentence-transformers loads it."""
        save_model(model, folder)

"""What differs between the kinds of models of sentence-transformers that the stages train."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from ..datasets import NamedRows
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

    counts_documents: ClassVar[bool] = False
    """Whether what the first stage begins with depends on the rows of all stages."""

    def begin(self, folder: str | Path, arguments: Any, training: Sequence[NamedRows]) -> Any:
        """Return the model that the first stage begins with.

        Args:
            folder: see `load`
            arguments: of the command
            training: rows of all stages, without those that leak
        """
        return self.load(folder, arguments)

    def is_untrained(self, folder: str | Path) -> bool:
        """Return whether a model that is begun from a folder has random weights, so that scores would say nothing."""
        return False

    def save(self, model: Any, folder: Path) -> None:
        """Write a model as its class of sentence-transformers loads it."""
        save_model(model, folder)

"""What the stages of a run are judged by: the sets, the scores of a model, what it is compared with, the report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .arguments import StageArguments
from .datasets import NamedRows
from .stages import Scores


class Judge(ABC):
    """The evaluation of a command.

    Args:
        arguments: name the sets, which are read here
    """

    def __init__(self, arguments: StageArguments) -> None:
        self.arguments = arguments

    @classmethod
    @abstractmethod
    def check(cls, arguments: Any) -> None:
        """Refuse missing or impossible values before any work.

        Raises:
            ValueError, FileNotFoundError, ImportError: What is missing.
        """

    @abstractmethod
    def texts(self) -> dict[str, list[str]]:
        """Return the texts of every set, which no stage may train on."""

    @abstractmethod
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """Return the rows of every set, for the fingerprint of what a stage was scored on."""

    @abstractmethod
    def score(self, model: Any, folder: Path) -> Scores:
        """Return the scores of a model that is as it is used: in evaluation mode, reading texts of any length.

        Args:
            model: the model
            folder: of its stage
        """

    @abstractmethod
    def no_scores(self) -> Scores:
        """Return what stands for the scores of a model that has nothing to be judged by yet."""

    @abstractmethod
    def summary(self, scores: Any) -> list[str]:
        """Return the scores for the log, a line for each set."""

    @abstractmethod
    def report(self, output: Path, training: Sequence[Sequence[NamedRows]], rows: str, data: Mapping[str, str]) -> None:
        """Score what the stages are compared with, and write the report of a run whose stages are finished.

        Args:
            output: folder of the run, with `stage-0`, `stage-1` ... and `final`
            training: rows of each stage
            rows: fingerprint of all rows, of training and evaluation
            data: what was trained on, left out and found in both training and evaluation, by title
        """

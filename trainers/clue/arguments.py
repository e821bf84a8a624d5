"""Options of fine-tuning on CLUE, or on a task of one's own, and the protocol that they stand for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from transformers import TrainingArguments

from ...evaluation.clue.own_tasks import read_own_task
from ...evaluation.clue.tasks import TASKS, Task
from ...runtime.options import LibraryOptions, refuse_idle_options
from ...runtime.training_arguments import library_options
from ..lora import refuse_idle_alpha
from .options import ClueOptions

GRID = (1e-5, 2e-5, 3e-5, 5e-5)
"""Learning rates of `--grid`, the same for every model. Source: our default, the range of published CLUE recipes."""

EXPLAINED_KINDS = ("classification", "spans")
"""Kinds with one label per text, of which `explain` weighs the tokens."""

ALL = "all"
DATA_VARIABLE = "CHINESE_MODERNBERT_DATA"


@dataclass
class ClueArguments(ClueOptions, TrainingArguments):
    """Options of the `clue` command: our own, and the fields of the library that act here (`library_options`)."""

    library_options: ClassVar[LibraryOptions]

    save_strategy: str = "no"
    eval_strategy: str = "epoch"
    logging_nan_inf_filter: bool = False
    remove_unused_columns: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked before any file is opened.

        Raises:
            ValueError: If an option is out of range, or a field of the library that does not act here is given.
        """
        refuse_idle_options(self)
        super().__post_init__()
        self._refuse_idle()
        self.tasks = self.tasks or [ALL]
        self.learning_rates = self.learning_rates or list(GRID)
        if not self.model:
            raise ValueError("the command line gives no 'model'; add --model with a folder or a name of the Hub")

    def _refuse_idle(self) -> None:
        """Raise a ValueError for an option that another one keeps from acting."""
        if self.task_file and self.tasks:
            raise ValueError(f"tasks={','.join(self.tasks)} beside task_file is not read; give one of them")
        if self.task_file and self.data and not self.train_from:
            raise ValueError(f"data={self.data!r} is not read beside task_file, which names its files; leave it out")
        if self.learning_rates and not self.grid:
            raise ValueError(
                "learning_rates are the grid's, and grid is off; add --grid, or give --learning_rate alone"
            )
        if self.learning_rate and self.grid:
            raise ValueError(
                f"learning_rate={self.learning_rate:g} is not read with grid; give --learning_rates, or --no_grid"
            )
        refuse_idle_alpha(self.lora_rank, self.lora_alpha)

    @property
    def data_folder(self) -> str:
        """Return where the tasks are read from.

        Raises:
            ValueError: If no folder is given and the environment variable is not set.
        """
        return folder_of_data(self.data)

    def chosen_tasks(self) -> list[Task]:
        """Return the tasks asked for.

        Raises:
            ValueError: If a name is unknown, or given twice, or `train_from` names a task that is not there.
        """
        if self.task_file:
            chosen = [read_own_task(file) for file in self.task_file]
        elif self.tasks == [ALL]:
            chosen = list(TASKS.values())
        else:
            unknown = [name for name in self.tasks if name not in TASKS]
            if unknown:
                raise ValueError(f"unknown task '{unknown[0]}'; use all or some of {', '.join(TASKS)}")
            chosen = [TASKS[name] for name in self.tasks]
        if self.explain and not any(task.kind in EXPLAINED_KINDS for task in chosen):
            raise ValueError(f"explain={self.explain} needs a classification, and none is chosen; leave it out")
        names = [task.name for task in chosen]
        if len(set(names)) != len(names):
            raise ValueError(f"a task is named twice: {', '.join(names)}")
        for name in self.train_from or {}:
            if name not in names:
                raise ValueError(f"train_from names {name!r}, which is not one of the chosen tasks: {', '.join(names)}")
            self.lenders(name)
        return chosen

    def lenders(self, task: str) -> list[Task]:
        """Return the tasks whose training rows are added to those of `task`.

        Raises:
            ValueError: If `train_from` names an unknown one.
        """
        given = (self.train_from or {}).get(task, [])
        names = [given] if isinstance(given, str) else list(given)
        unknown = [name for name in names if name not in TASKS]
        if unknown:
            raise ValueError(f"train_from takes rows of {unknown[0]!r}, which is not one of {', '.join(TASKS)}")
        return [TASKS[name] for name in names]


def folder_of_data(given: str) -> str:
    """Return the folder of the tasks' archives: the one given, or that of the environment variable.

    Raises:
        ValueError: If there is neither.
    """
    if given:
        return given
    if not os.environ.get(DATA_VARIABLE):
        raise ValueError(f"no data are given; add --data with the archives' folder, or export {DATA_VARIABLE}")
    return str(Path(os.environ[DATA_VARIABLE]) / "clue")


ClueArguments.library_options = library_options("clue", ClueArguments, TrainingArguments)

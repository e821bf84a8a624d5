"""Options of fine-tuning on CLUE, or on a task of one's own, and the protocol that they stand for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from transformers import TrainingArguments

from ...evaluation.clue.tasks import TASKS, Task, read_own_task
from ...runtime.options import LibraryOptions, refuse_unread
from ...runtime.training_arguments import SEVERAL_PROCESSES, complete
from .options import ClueOptions

GRID = (1e-5, 2e-5, 3e-5, 5e-5)
"""Learning rates of `--grid`, the same for every model. Source: our default, the range of published CLUE recipes."""

ALL = "all"
DATA_VARIABLE = "CHINESE_MODERNBERT_DATA"
ACTING = {
    "lr_scheduler_type": "the schedule of every run",
    "lr_scheduler_kwargs": "the schedule of every run",
    "optim": "the optimizer of every run",
    "optim_args": "the optimizer of every run",
    "logging_nan_inf_filter": "the logs of every run",
    "eval_accumulation_steps": "how often predictions leave the device",
    "dataloader_persistent_workers": "the data loader",
}
ONE_PROCESS = "clue runs in one process; leave it out, and give other tasks to other processes"
SAVING = "weights are not saved in a run; use --save_model to keep them at its end"
EPOCHS = "rows are scored after every epoch; see --select_on and --patience"
REFUSED = {
    **dict.fromkeys(SEVERAL_PROCESSES, ONE_PROCESS),
    **dict.fromkeys(("average_tokens_across_devices", "fsdp", "fsdp_config", "deepspeed"), ONE_PROCESS),
    **dict.fromkeys(
        ("save_strategy", "save_steps", "save_total_limit", "save_only_model", "save_on_each_node"), SAVING
    ),
    **dict.fromkeys(("eval_strategy", "eval_steps", "eval_delay", "eval_on_start"), EPOCHS),
    "enable_jit_checkpoint": "finished runs are kept, one that was cut off starts over; leave it out",
    "resume_from_checkpoint": "give the same command again: finished runs are kept",
    "load_best_model_at_end": "the best epoch is always taken; see --select_on",
    "data_seed": "use --seed",
    "dataloader_drop_last": "every row trains and is scored; leave it out",
    "auto_find_batch_size": "use --per_device_train_batch_size with --gradient_accumulation_steps",
}


@dataclass
class ClueArguments(ClueOptions, TrainingArguments):
    """Options of the `clue` command: our own, and the fields of the library that act here (`library_options`)."""

    library_options: ClassVar[LibraryOptions]

    save_strategy: str = "no"
    eval_strategy: str = "epoch"
    remove_unused_columns: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked before any file is opened.

        Raises:
            ValueError: If an option is out of range, or a field of the library that does not act here is given.
        """
        refuse_unread(self)
        super().__post_init__()
        self.tasks = self.tasks or [ALL]
        self.learning_rates = self.learning_rates or list(GRID)
        for name, lowest in (("seeds", 1), ("folds", 2), ("patience", 0), ("max_length", 0), ("lora_rank", 0)):
            if getattr(self, name) < lowest:
                raise ValueError(f"{name}={getattr(self, name)} is under {lowest}; give {lowest} or more")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay={self.layer_decay} is not in (0, 1]; 1 trains every layer alike")
        if min(self.learning_rates) <= 0:
            raise ValueError(f"learning_rates={self.learning_rates} must be one or more positive numbers")
        if not self.model:
            raise ValueError("the command line gives no 'model'; add --model with a folder or a name of the Hub")

    @property
    def data_folder(self) -> str:
        """Return where the tasks are read from.

        Raises:
            ValueError: If no folder is given and the environment variable is not set.
        """
        if self.data:
            return self.data
        if not os.environ.get(DATA_VARIABLE):
            raise ValueError(f"no data are given; add --data with the archives' folder, or export {DATA_VARIABLE}")
        return str(Path(os.environ[DATA_VARIABLE]) / "clue")

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


ClueArguments.library_options = complete(ClueArguments, TrainingArguments, ACTING, REFUSED)

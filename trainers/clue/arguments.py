"""Options of fine-tuning on CLUE, or on a task of one's own, and the protocol that they stand for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transformers import TrainingArguments

from ...evaluation.clue.tasks import TASKS, Task, read_own_task
from ...runtime.options import argument
from ..lora import DEFAULT_LORA_ALPHA

GRID = (1e-5, 2e-5, 3e-5, 5e-5)
"""Learning rates of `--grid`, the same for every model. Source: our default, the range of published CLUE recipes."""

ALL = "all"
DATA_VARIABLE = "CHINESE_MODERNBERT_DATA"
TASK_DEFAULT = 0
"""A number that the task's row of the table decides."""

FIXED = {"eval_strategy": "epoch", "eval_delay": 0, "save_strategy": "no", "remove_unused_columns": False}
"""Options of the library that the protocol decides: a score after every epoch, and features as they are."""


@dataclass
class ClueArguments(TrainingArguments):
    """Options of the `clue` command: the library's own, with defaults for fine-tuning, and a few more.

    The protocol, our default: one fold of the training rows is held out; learning rate and epoch are chosen on it, and
    the dev rows are scored once, by the chosen weights. `select_on: dev` is the habit of the field instead (choose and
    report on the same rows); both scores are always printed under their own names.
    """

    model: str = argument("", "Folder or Hub name of the model to fine-tune; any encoder that AutoModel loads.")
    tokenizer: str = argument("", "Folder or name of its tokenizer, if it is not the model's.")
    trust_remote_code: bool = argument(False, "Allow the model's own code from its folder or the Hub.")
    tasks: list[str] = argument(list, "Names of tasks; none, or all: every task whose data are there.")
    task_file: list[str] = argument(list, "YAML files that describe tasks of one's own, in place of tasks.")
    data: str = argument("", "Folder with the official archives, or hub; default: clue in CHINESE_MODERNBERT_DATA.")
    train_from: dict | None = argument(None, "Task -> tasks of the same labels whose training rows are added.")

    seeds: int = argument(1, "Runs with the chosen learning rate, seeds seed, seed + 1, ...")
    grid: bool = argument(False, "Choose the learning rate among learning_rates with the first seed.")
    learning_rates: list[float] = argument(list, "The grid; default 1e-5, 2e-5, 3e-5, 5e-5.")
    select_on: Literal["fold", "dev"] = argument("fold", "Rows that rate and epoch are chosen on.")
    folds: int = argument(10, "Folds of the training rows; one is held out.")
    patience: float = argument(
        0.3, "Epochs without a better score before a run stops, or a share of them below 1 (2 at least); 0: never."
    )

    max_length: int = argument(TASK_DEFAULT, "Longest input in tokens; 0: the task's.")
    max_train_samples: int | None = argument(None, "Training rows to draw at random; null: all.")
    max_eval_samples: int | None = argument(None, "First rows of dev and test to score; null: all.")
    layer_decay: float = argument(1.0, "Learning rate of a layer as a share of that of the layer above.")
    class_weights: bool = argument(False, "Weigh classes by the inverse of their frequency.")
    lora_rank: int = argument(0, "Rank of LoRA on every linear layer of the encoder; 0: train all weights.")
    lora_alpha: int = argument(DEFAULT_LORA_ALPHA, "Scale of LoRA, divided by the rank.")
    masked_fine_tuning: bool = argument(False, "Mask half of the training texts at random rates (faithfulness).")

    predict_test: bool = argument(True, "Score or predict the test files and write those that the CLUE site takes.")
    save_model: bool = argument(False, "Keep the weights of every run with the chosen learning rate.")
    against: str | None = argument(None, "output_dir of another model's run, to compare with row by row.")
    explain: int = argument(0, "Hardest dev rows of which every token's weight is shown.")
    overwrite: bool = argument(False, "Replace the results in output_dir.")

    learning_rate: float = argument(0.0, "Peak learning rate; 0: the task's.")
    num_train_epochs: float = argument(0.0, "Epochs; 0: the task's.")
    per_device_train_batch_size: int = argument(TASK_DEFAULT, "Rows of a batch; 0: the task's.")
    per_device_eval_batch_size: int = argument(32, "Rows of a batch in scoring.")
    warmup_steps: float = argument(0.1, "Steps of linear warm-up, or a share of the run below 1.")
    weight_decay: float = argument(0.01, "Weight decay of matrices.")
    logging_steps: float = argument(50, "Steps between two log lines.")
    save_strategy: str = argument("no", "Must stay no: a run that was cut off starts over, finished ones are kept.")
    eval_strategy: str = argument("epoch", "Must stay epoch: that is what patience counts.")
    remove_unused_columns: bool = argument(False, "Must stay false: the collator reads more than the model.")
    seed: int = argument(1, "First seed.")

    def __post_init__(self) -> None:
        """Check what can be checked before any file is opened.

        Raises:
            ValueError: If an option is out of range.
        """
        super().__post_init__()
        self.tasks = [name for part in self.tasks for name in part.split(",") if name] or [ALL]
        self.learning_rates = self.learning_rates or list(GRID)
        for name, wanted in FIXED.items():
            if (given := getattr(self, name)) != wanted:
                raise ValueError(f"{name}={getattr(given, 'value', given)} must stay {wanted} for clue; leave it off")
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

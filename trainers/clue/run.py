"""The `clue` command: tasks, learning rates and seeds as runs, each kept when it is done; then the report.

One run is a task with one learning rate and seed. Its result is one JSON file; a run whose file is there is not
repeated, so a command that was cut off goes on where it stopped, with the same scores.
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight
from transformers import AutoTokenizer, PreTrainedTokenizerBase, set_seed

from ...evaluation.clue.files import TaskData, describe, read_task
from ...evaluation.clue.readers import Example
from ...evaluation.clue.report import read_report, refuse_other_rows, write_report
from ...evaluation.clue.scores import example_scores, reference, score
from ...evaluation.clue.tasks import Task
from ...runtime.files import model_files_fingerprint, model_fingerprint, write_text_atomically
from ...runtime.folder_lock import hold_folder
from ...runtime.settings import differing_settings
from ...runtime.training_arguments import default_arguments
from ..lora import add_lora
from ..soundness import refuse_unsound_weights
from .about import about_task, count_cut
from .arguments import ALL, ClueArguments
from .explain import explain_hardest
from .kinds import INPUTS
from .losses import TaskLoss
from .models import build_model, encoder_of, length_limit, save_model
from .predict import predict_command
from .settings import in_effect, refuse_other_report, report_settings, run_settings
from .span_inputs import TokenClassificationInputs
from .trainer import ClueTrainer, run_arguments

logger = logging.getLogger(__name__)

RUNS, MODELS = "runs", "models"
HELD_OUT = 0
"""Number of the fold that is held out."""


@dataclass(frozen=True)
class RunKey:
    """What distinguishes one run of a folder from another."""

    task: str
    learning_rate: float
    seed: int

    def file(self, output: Path) -> Path:
        """Return where the run's result is kept."""
        return output / RUNS / self.task / f"{self.name}.json"

    @property
    def name(self) -> str:
        """Return the run's name."""
        return f"lr{self.learning_rate:g}-seed{self.seed}-fold{HELD_OUT}"


def run_clue(args: ClueArguments) -> Path:
    """Fine-tune on every task asked for and write the report.

    Returns:
        The report, `output_dir/report.md`.

    Raises:
        FileNotFoundError: If a task asked for by name has no data, none has any, or `against` holds no report.
        FileExistsError: If the folder holds a report of other settings, or another command works in it.
        ValueError: If data are wrong, or the folder holds runs of other settings.
    """
    if args.masked_fine_tuning and args.dataloader_num_workers:
        raise ValueError("masked_fine_tuning counts rows in one process; set dataloader_num_workers to 0")
    if args.world_size > 1:
        raise ValueError(
            f"clue was started in {args.world_size} processes; start one per device, each with its own tasks and "
            "output_dir"
        )
    tasks = args.chosen_tasks()
    other = {} if args.against is None else read_report(args.against)
    if args.against is not None and not any(task.name in other for task in tasks):
        raise ValueError(f"against={args.against} has none of the chosen tasks; it has {', '.join(other)}")
    output = Path(args.output_dir or "clue")
    with hold_folder(output):
        return _run(args, tasks, output, other)


def _run(args: ClueArguments, tasks: Sequence[Task], output: Path, other: Mapping[str, Any]) -> Path:
    """Run task after task and report, in a folder that this command holds."""
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer or args.model, trust_remote_code=args.trust_remote_code)
    model = model_fingerprint(args.model)
    settings = report_settings(args, model)
    if not args.overwrite:
        refuse_other_report(output, settings, [task.name for task in tasks])
    skipped: dict[str, str] = {}

    def opened(task: Task) -> TaskRuns | None:
        """Return the runs of a task, checked, or None where its data are not there and need not be."""
        try:
            lenders = args.lenders(task.name)
            data = read_task(task, args.data_folder if lenders or not task.own_file else "", lenders)
        except FileNotFoundError as error:
            if args.tasks != [ALL] or args.task_file:
                raise
            skipped[task.name] = str(error)
            return None
        runs = TaskRuns(args, data, tokenizer, output, model)
        runs.check(other)
        return runs

    if len(tasks) > 1:  # What is wrong with a later one is told before the first is trained; memory does not hold all.
        tasks = [task for task in tasks if opened(task) is not None]
    for reason in skipped.values():
        logger.warning("skipped: %s", reason)
    finished = []
    for task in tasks:
        if (runs := opened(task)) is not None:
            logger.info(describe(runs.data))
            finished.append(runs.run())
    if not finished:
        raise FileNotFoundError(f"no task has data in {args.data_folder}; give --data a folder with <task>_public.zip")
    return write_report(output, [asdict(result) for result in finished], skipped, settings, args.against)


@dataclass
class TaskResult:
    """All that the report needs of one task: what was read, the rate chosen, and the runs as their files have them."""

    task: str
    metric: str
    data: dict[str, Any]
    learning_rate: float
    grid: dict[str, float]
    runs: list[dict[str, Any]]


class TaskRuns:
    """The runs of one task.

    Args:
        args: options of the command
        data: the task's examples
        tokenizer: tokenizer of the model
        output: folder of results
        model: fingerprint of the model
    """

    def __init__(
        self, args: ClueArguments, data: TaskData, tokenizer: PreTrainedTokenizerBase, output: Path, model: str
    ) -> None:
        self.args, self.data, self.task, self.output = args, data, data.task, output
        limit = length_limit(args.model, tokenizer, args.trust_remote_code)
        self.inputs = INPUTS[self.task.kind](tokenizer, self.task, args.max_length, limit)
        if self.inputs.max_length < (args.max_length or self.task.max_length):
            logger.info("%s: %d tokens, the longest that the model takes", self.task.name, self.inputs.max_length)
        # The numbers of the task stand where none are given: another description of the task is another run.
        chosen, unset = (
            run_settings(run_arguments(one, self.inputs, args.learning_rate, args.seed))
            for one in (args, default_arguments(ClueArguments, model=args.model))
        )
        content = {
            "files": [model_files_fingerprint(name) for name in (args.model, args.tokenizer) if name],
            "task": _digest(repr((self.task.kind, self.task.labels))),
        }
        self.unrecorded = {**unset, **content}  # of runs of older versions
        self.identity = {
            **chosen,
            **content,
            "model": model,
            "data": data.fingerprint(),
            "tokenizer": _digest(json.dumps(sorted(tokenizer.get_vocab().items()))),
            "metric": self.task.metric,
            "max_length": self.inputs.max_length,
        }
        kept = _sampled(len(data.splits["train"]), args.max_train_samples)
        self.train = [data.splits["train"][i] for i in kept.tolist()]
        self.is_own = kept < len(data.splits["train"]) - sum(data.borrowed.values())  # borrowed rows come last
        self.scored = {
            split: examples[: args.max_eval_samples]
            for split, examples in data.splits.items()
            if split == "dev" or (split != "train" and args.predict_test)
        }

    def check(self, other: Mapping[str, Any]) -> None:
        """Refuse at once what would end the command when this task, or others before it, had been trained.

        Args:
            other: task -> row of another model's report, with which this one is to be compared

        Raises:
            ValueError: For too few groups for the folds, class weights without classes, two spans that no input holds,
                or a report on other dev rows.
        """
        self._loss(self._split()[0])
        if self.task.kind == "spans":
            self.inputs.encode([*self.train, *(one for examples in self.scored.values() for one in examples)])
        if self.task.name in other:
            gold = [reference(example, self.task.kind) for example in self.scored["dev"]]
            refuse_other_rows(self.task.name, gold, other[self.task.name])

    def run(self) -> TaskResult:
        """Search the rate with the first seed, then run the other seeds with the rate that was chosen."""
        args = self.args
        cut = count_cut(self.inputs, self.train, self.scored["dev"])
        rates = args.learning_rates if args.grid else [args.learning_rate or self.task.learning_rate]
        first = {rate: self._result(rate, args.seed) for rate in rates}
        grid = {f"{rate:g}": float(run["selection"]) for rate, run in first.items()}
        chosen = max(rates, key=lambda rate: grid[f"{rate:g}"])
        runs = [first[chosen], *(self._result(chosen, args.seed + seed) for seed in range(1, args.seeds))]
        for rate in set(rates) - {chosen}:
            for path in (self.output / MODELS / self.task.name).glob(f"lr{rate:g}-*"):
                shutil.rmtree(path)
        if args.save_model:
            self._say_where(runs)
        shown = run_arguments(args, self.inputs, chosen, args.seed)
        about = about_task(shown, self.data, self.inputs, self.scored, self.train, cut, runs)
        return TaskResult(self.task.name, self.task.metric, about, chosen, grid, runs)

    def _say_where(self, runs: Sequence[dict[str, Any]]) -> None:
        """Log the folder of each saved model, as the command that asks it."""
        for run in runs:
            folder = self.output / MODELS / self.task.name / RunKey(*(run[one.name] for one in fields(RunKey))).name
            command = predict_command(self.task, folder, self.args.trust_remote_code)
            logger.info("model saved: %s", command or folder)

    def _result(self, rate: float, seed: int) -> dict[str, Any]:
        """Return a run's result: from its file if it is done, else by running it."""
        key = RunKey(self.task.name, rate, seed)
        file = key.file(self.output)
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() and not self.args.overwrite else None
        if found is not None:
            self._check_identity(file, found["identity"])
        if found is not None and self._is_complete(found, key):
            logger.info("%s %s: done before", key.task, key.name)
            return found
        found = self._train(key)
        write_text_atomically(file, json.dumps(found, ensure_ascii=False) + "\n")
        logger.info(
            "%s %s: selection %.2f, dev %.2f", key.task, key.name, found["selection"], found["dev"][self.task.metric]
        )
        return found

    def _check_identity(self, file: Path, old: dict[str, Any]) -> None:
        if different := differing_settings(in_effect(old), in_effect(self.identity), self.unrecorded):
            raise ValueError(f"{file} is of other settings: {'; '.join(different)}; give another output_dir")

    def _is_complete(self, found: dict[str, Any], key: RunKey) -> bool:
        """Return whether a finished run has also what was not asked for when it ran."""
        has_model = (self.output / MODELS / key.task / key.name).is_dir() or not self.args.save_model
        return has_model and ("explained" in found or not self.args.explain)

    def _train(self, key: RunKey) -> dict[str, Any]:
        """Train and score one run."""
        started = time.perf_counter()
        train, selection = self._split()
        set_seed(key.seed)
        tags = self.inputs.tagging.tags if isinstance(self.inputs, TokenClassificationInputs) else ()
        model = build_model(self.task, self.args.model, self.args.trust_remote_code, tags)
        if self.args.lora_rank:
            add_lora(encoder_of(model), self.args.lora_rank, self.args.lora_alpha)
        chosen = run_arguments(self.args, self.inputs, key.learning_rate, key.seed)
        chosen.output_dir = str(self.output / "scratch")
        trainer = ClueTrainer(model, chosen, self.inputs, train, selection, self._loss(train))
        trainer.train()
        trainer.restore_best()
        refuse_unsound_weights(model, f"{key.task} {key.name}")
        found = {
            **asdict(key),
            "selection": trainer.best.score,
            "selection_rows": len(selection),
            "training_rows": len(train),
            "epoch": trainer.best.epoch,
            "history": trainer.history,
            **self._score(trainer),
            "identity": self.identity,
        }
        if self.args.explain:
            found["explained"] = explain_hardest(trainer, self.scored["dev"], self.args.explain)
        if self.args.save_model:
            save_model(model, self.inputs.tokenizer, self.output / MODELS / key.task / key.name)
        shutil.rmtree(self.output / "scratch", ignore_errors=True)
        found["seconds"] = time.perf_counter() - started
        del trainer, model
        gc.collect()
        return found

    def _score(self, trainer: ClueTrainer) -> dict[str, Any]:
        """Return scores and predictions of dev and of the test files."""
        found: dict[str, Any] = {"predictions": {}, "scored": {}}
        for split, examples in self.scored.items():
            predictions = trainer.predict_examples(examples)
            found["predictions"][split] = predictions.values
            if not all(example.has_gold for example in examples):
                continue
            found["scored"][split] = score(self.task, predictions.values, examples)
            if split != "dev":
                continue
            found["dev"] = found["scored"][split]
            found["dev_gold"] = [reference(example, self.task.kind) for example in examples]
            found["dev_examples"] = example_scores(self.task, predictions.values, examples).round(6).tolist()
            logs = predictions.gold_log_probability
            found["dev_gold_log_probability"] = [
                None if math.isnan(value) else round(value, 5) for value in logs.tolist()
            ]
            repeated = set(self.data.repeated_dev_rows)
            fresh = [i for i in range(len(examples)) if i not in repeated]
            if repeated and fresh:
                values = [predictions.values[i] for i in fresh]
                found["dev_without_repeated"] = score(self.task, values, [examples[i] for i in fresh])
        return found

    def _split(self) -> tuple[Sequence[Example], Sequence[Example]]:
        """Return training and selection rows; rows of one group lie on one side.

        The fold is drawn from the task's own rows, where it has any; a borrowed row of a held-out group is left out.
        """
        if self.args.select_on == "dev":
            return self.train, self.scored["dev"]
        groups = np.unique([example.group for example in self.train], return_inverse=True)[1]
        may_select = self.is_own if self.is_own.any() else ~self.is_own
        drawn = np.unique(groups[may_select])
        if len(drawn) < self.args.folds:
            raise ValueError(
                f"{self.task.name}: {len(drawn)} groups of training rows cannot make folds={self.args.folds}"
            )
        # The fold of a group does not depend on the run's seed: every run is selected on the same rows.
        of_group = np.full(int(groups.max()) + 1, -1)
        of_group[drawn] = np.random.default_rng(0).permutation(len(drawn)) % self.args.folds
        held_out = of_group[groups] == HELD_OUT
        train, selection = (np.flatnonzero(chosen).tolist() for chosen in (~held_out, held_out & may_select))
        return [self.train[i] for i in train], [self.train[i] for i in selection]

    def _loss(self, train: Sequence[Example]) -> TaskLoss:
        weights = None
        if self.args.class_weights:
            if self.task.kind not in ("classification", "spans"):
                raise ValueError(f"class_weights needs classes, and {self.task.name} has none; leave it off")
            labels = np.array([example.label for example in train])
            weights = np.ones(len(self.task.labels))
            present = np.unique(labels)
            weights[present] = compute_class_weight("balanced", classes=present, y=labels)
        return TaskLoss(self.task.kind, None if weights is None else weights.tolist())


def _sampled(count: int, limit: int | None) -> np.ndarray:
    """Draw the numbers of `limit` rows, the same for every seed, in their old order; int64 `[rows]`."""
    return np.sort(np.random.default_rng(0).permutation(count)[:limit])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

"""Metrics of finished `clue`, `sts` and `retrieval` commands for the model card, checked to be of released weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from ...evaluation.clue.tasks import TASKS
from ...runtime.files import model_files_fingerprint, model_fingerprint
from ..checkpoint import read_json_object
from ..module_chains import MODULES_FILE
from .search_facts import SearchMetric, read_search

REPORT_FILE = "report.json"
FINAL = "final"  # where `sts` leaves its last encoder
# Kind of a task -> its name on the Hub. Tasks of one's own are in no table.
HUB_TASKS = {
    "classification": "text-classification",
    "spans": "text-classification",
    "entities": "token-classification",
    "answer": "question-answering",
    "choice": "multiple-choice",
}


@dataclass(frozen=True)
class TaskMetric:
    """A dev metric of one task in percent: mean and sample deviation (`None` for one run) over `runs`."""

    task: str
    metric: str
    mean: float
    deviation: float | None
    runs: int
    rows: int
    is_collapsed: bool

    @property
    def value(self) -> str:
        """The value as the card shows it."""
        return f"{self.mean:.2f}" + ("" if self.deviation is None else f" ± {self.deviation:.2f}")


@dataclass(frozen=True)
class SimilarityMetric:
    """How well one encoder follows the given similarities of a set of pairs; correlations from -1 to 1.

    Attributes:
        low: lower end of Spearman's 95 % bootstrap interval
        high: its upper end
        is_released: whether the encoder is the released model itself, pooled as released
    """

    stage: str
    name: str
    pairs: int
    pearson: float
    spearman: float
    low: float
    high: float
    is_released: bool

    @property
    def interval(self) -> str:
        """Spearman with its 95 % bootstrap interval as the card shows it."""
        return f"{self.spearman:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class EvaluationFacts:
    """What the card tells of evaluations; empty where no report was given.

    Attributes:
        tasks: of `clue`
        clue_settings: of that command
        similarity: of `sts`
        search: of `retrieval`
        search_machine: what that command ran on
        search_similarity: how the released model compares; empty for a reranker
    """

    tasks: tuple[TaskMetric, ...] = ()
    clue_settings: Mapping[str, Any] = field(default_factory=dict)
    similarity: tuple[SimilarityMetric, ...] = ()
    search: tuple[SearchMetric, ...] = ()
    search_machine: Mapping[str, Any] = field(default_factory=dict)
    search_similarity: str = ""

    @property
    def is_last_stage(self) -> bool:
        """Whether the released model is what `sts` ended with, not what it began with."""
        return bool(self.similarity) and self.similarity[-1].is_released and len(self.stages) > 1

    @property
    def stages(self) -> list[str]:
        """The stages of `sts` by name, in their order."""
        return list(dict.fromkeys(one.stage for one in self.similarity))

    @property
    def clue_protocol(self) -> tuple[str, str]:
        """How the rows were chosen, in English and Chinese."""
        settings = self.clue_settings
        if settings.get("select_on") == "dev":
            english, chinese = (
                "Rate and epoch were chosen on the dev rows themselves.",
                "学习率与轮数就在开发集上选择。",
            )
        else:
            english = "Rate and epoch were chosen on a held-out fold of the training rows."
            chinese = "学习率与轮数在留出的训练样本上选择。"
        if settings.get("max_train_samples"):
            english += f" At most {settings['max_train_samples']:,} training rows per task."
            chinese += f"每个任务最多使用 {settings['max_train_samples']:,} 条训练样本。"
        if settings.get("max_eval_samples"):
            english += f" Scored on at most {settings['max_eval_samples']:,} rows."
            chinese += f"最多在 {settings['max_eval_samples']:,} 条样本上评测。"
        return english, chinese

    def results(self) -> list[EvalResult]:
        """Return the metrics of the released weights as the Hub's `model-index` has them."""
        found = [_task_result(one) for one in self.tasks]
        for one in self.similarity:
            if one.is_released:
                for metric, value in (("pearson", one.pearson), ("spearman", one.spearman)):
                    name, _, split = one.name.partition(":")
                    found.append(
                        EvalResult(
                            task_type="sentence-similarity",
                            dataset_type=name,
                            dataset_name=name,
                            dataset_split=split or None,
                            metric_type=metric,
                            metric_value=round(value, 4),
                        )
                    )
        return found + [result for one in self.search for result in one.results(self.search_similarity)]


def _task_result(one: TaskMetric) -> EvalResult:
    task = TASKS.get(one.task)
    return EvalResult(
        task_type="other" if task is None else HUB_TASKS.get(task.kind, "other"),
        dataset_type=(task.hub if task is not None else "") or one.task,
        dataset_name=one.task,
        # Without it the Hub's client takes all tasks of one data set for one, and puts their values in one list.
        dataset_config=one.task,
        dataset_split="dev",
        metric_type=one.metric,
        metric_value=round(one.mean, 2),
    )


def read_evaluations(
    clue_report: str,
    sts_report: str,
    folders: Collection[Path],
    retrieval_report: str = "",
    model: Path | None = None,
    similarity: str = "",
) -> EvaluationFacts:
    """Return the metrics of reports, each checked to be about the weights in one of the folders.

    Args:
        clue_report: `report.json` of `clue`, or its folder; none if empty
        sts_report: output folder of `sts`, or its `report.json`, on the checkpoint or with the checkpoint as its
            `final`; none if empty
        folders: the checkpoint and the release made of it, the same weights
        retrieval_report: output folder of `retrieval`, or its `report.json`; none if empty
        model: the folder that is released, with all that it holds beside the encoder, for the last two
        similarity: how two of the model's embeddings are compared, for the same; empty for a reranker

    Raises:
        FileNotFoundError: For a report that is not there.
        ValueError: For a report about other weights, or a file that is no such report.
    """
    digests = {_digest(model_fingerprint(folder)) for folder in folders}
    tasks, settings, similar = (), {}, ()
    if clue_report:
        content = _read_report("clue_report", clue_report, "model", digests)
        tasks, settings = _parse("clue_report", clue_report, _tasks, content), content["settings"]
    if sts_report:
        path = _report_path("sts_report", sts_report)
        if model and _is_final(model, path):
            content = read_json_object(path)
            similar = _parse("sts_report", sts_report, _similarity_of_final, content)
        else:
            content = _read_report("sts_report", sts_report, "weights", digests)
            similar = _parse("sts_report", sts_report, _similarity, content)
    search, machine = (), {}
    if retrieval_report:
        assert model
        search, machine = read_search(_report_path("retrieval_report", retrieval_report), model)
    return EvaluationFacts(tasks, settings, similar, search, machine, similarity)


def _digest(fingerprint: str) -> str:
    return fingerprint.rsplit(" ", maxsplit=1)[-1]


def _report_path(option: str, given: str) -> Path:
    path = Path(given) / REPORT_FILE if Path(given).is_dir() else Path(given)
    if not path.is_file():
        raise FileNotFoundError(f"{option} {path} is not there; give the output of a finished command")
    return path


def _read_report(option: str, given: str, key: str, digests: Collection[str]) -> dict[str, Any]:
    """Return a report whose `settings` name the released weights under `key`."""
    path = _report_path(option, given)
    content = read_json_object(path)
    settings = content.get("settings")
    weights = str(settings.get(key, "not recorded")) if isinstance(settings, dict) else "not recorded"
    if _digest(weights) not in digests:
        raise ValueError(
            f"{option} {path} is about other weights ({weights}) than those released ({' or '.join(sorted(digests))}); "
            "run the command on the checkpoint or on its release"
        )
    return content


def _parse(option: str, given: str, parse: Any, content: dict[str, Any]) -> tuple[Any, ...]:
    try:
        return tuple(parse(content))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{option} {given} has no {error}; write it again with this version") from error


def _tasks(content: dict[str, Any]) -> list[TaskMetric]:
    return [
        TaskMetric(
            row["task"],
            row["metric"],
            float(row["dev"]["mean"]),
            row["dev"]["deviation"],
            row["runs"],
            row["dev_rows"],
            row["is_collapsed"],
        )
        for row in content["tasks"]
    ]


def _is_final(model: Path, report: Path) -> bool:
    """Return whether a model is what the last stage of a command left beside its report, with all its files."""
    final = report.parent / FINAL
    return (final / MODULES_FILE).is_file() and model_files_fingerprint(final) == model_files_fingerprint(model)


def _similarity(content: dict[str, Any]) -> list[SimilarityMetric]:
    """Return the figures of a report on the released weights: its first encoder, before training on pairs."""
    return _stages(content, 0 if content["settings"]["pooling"] == "mean" else None)


def _similarity_of_final(content: dict[str, Any]) -> list[SimilarityMetric]:
    """Return the figures of a report whose last encoder is released."""
    return _stages(content, -1)


def _stages(content: dict[str, Any], released: int | None) -> list[SimilarityMetric]:
    stages = [one for one in content["encoders"] if one["role"] == "stage"]
    own = None if released is None else stages[released]
    return [
        SimilarityMetric(
            stage=one["name"],
            name=name,
            pairs=found["pairs"],
            pearson=float(found["scores"]["pearson"]["value"]),
            spearman=float(found["scores"]["spearman"]["value"]),
            low=float(found["scores"]["spearman"]["low"]),
            high=float(found["scores"]["spearman"]["high"]),
            is_released=one is own,
        )
        for one in stages
        for name, found in one["similarity"].items()
    ]

"""Scores of predictions: the metrics of a split, and what every example adds to the main metric."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.lazy import optional_import
from ...tokenization.entities import Span
from .answers import answer_f1, exact_match
from .readers import Example
from .tasks import Kind, Task

# A module of `evaluate` in five configurations, loaded from this folder: `evaluate.load(CLUE_METRICS, "answers")`.
CLUE_METRICS = str(Path(__file__).with_name("metrics.py"))

CONFIGURATION: dict[Kind, str] = {
    "classification": "classification",
    "multi_label": "multi_label",
    "regression": "regression",
    "spans": "classification",
    "choice": "classification",
    "answer": "answers",
    "entities": "entities",
}


# A metric in the unit of the labels; all others are shares, shown in percent.
ERROR_METRIC = "mean_absolute_error"


@lru_cache
def _metric(configuration: str) -> Any:
    with optional_import("scores"):
        import evaluate
    return evaluate.load(CLUE_METRICS, configuration, keep_in_memory=True)


def entity_key(span: Span) -> str:
    """Return an entity as the text `start:end:type` that the metric compares."""
    return f"{span.start}:{span.end}:{span.label}"


def reference(example: Example, kind: Kind) -> Any:
    """Return what is right for an example, in the form of a prediction."""
    if kind == "answer":
        return [text for text, _ in example.answers]
    if kind == "entities":
        return [entity_key(span) for span in example.entities or ()]
    return list(example.label) if isinstance(example.label, tuple) else example.label


def score(task: Task, predictions: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
    """Return the metrics of a split, in percent; `ERROR_METRIC` in the unit of the labels.

    Args:
        task: its kind decides the metric
        predictions: for each example a class or choice number, a list of label numbers, a number, an answer, or a list
            of `entity_key`
        examples: examples with gold labels, as many

    Raises:
        ValueError: If there are no examples, or not as many as predictions.
    """
    if len(predictions) != len(examples) or not examples:
        raise ValueError(f"{len(predictions)} predictions cannot be scored against {len(examples)} examples")
    references = [reference(example, task.kind) for example in examples]
    found = _metric(CONFIGURATION[task.kind]).compute(predictions=list(predictions), references=references)
    return {name: float(value) * (1.0 if name == ERROR_METRIC else 100.0) for name, value in found.items()}


def example_scores(task: Task, predictions: Sequence[Any], examples: Sequence[Example]) -> np.ndarray:
    """Return float64 `[examples, 2]`: numerator and denominator that each example adds.

    The sum of the first column over the sum of the second is the task's `COMPARED_METRIC`: accuracy, the mean of exact
    match and F1, the F1 over all entities or labels, or the share of the variance that is explained; so one paired test
    serves every task.
    """
    if task.kind == "regression":
        gold = np.array([example.label for example in examples], dtype=np.float64)
        spread = (gold - gold.mean()) ** 2
        return np.stack([spread - (gold - np.asarray(predictions)) ** 2, spread], axis=1)
    rows = []
    for found, example in zip(predictions, examples, strict=True):
        gold = reference(example, task.kind)
        if task.kind == "answer":
            rows.append(((exact_match(found, gold) + answer_f1(found, gold)) / 2, 1.0))
        elif task.kind in ("entities", "multi_label"):
            rows.append((2.0 * len(set(found) & set(gold)), float(len(set(found)) + len(set(gold)))))
        else:
            rows.append((float(found == gold), 1.0))
    return np.array(rows, dtype=np.float64).reshape(-1, 2)

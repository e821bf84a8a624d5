"""What a score is to be compared with: the best answer that reads no text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .readers import Example
from .scores import score
from .tasks import Task


def score_baseline(task: Task, train: Sequence[Example], scored: Sequence[Example]) -> float | None:
    """Return the task's metric, in percent, of an answer that is the same for every row.

    It is the most frequent class of the training rows, the labels that hold in more than half of them (or the most
    frequent one), or their mean. Of choices it is the chance of a random one; answers and entities have none.

    Args:
        task: the task
        train: rows that a run may be trained on
        scored: labelled rows
    """
    if task.kind == "choice":
        return 100.0 * float(np.mean([1 / len(example.choices) for example in scored]))
    labels = [example.label for example in train if example.label is not None]
    if task.kind in ("answer", "entities") or not labels:
        return None
    answer: Any
    if task.kind == "regression":
        answer = float(np.mean(np.array(labels, dtype=np.float64)))
    elif task.kind == "multi_label":
        counts = Counter(one for label in labels if isinstance(label, tuple) for one in label)
        answer = sorted(one for one, count in counts.items() if count > len(labels) / 2)
        answer = answer or [one for one, _ in counts.most_common(1)]
    else:
        answer = Counter(labels).most_common(1)[0][0]
    return score(task, [answer] * len(scored), scored)[task.metric]


def score_by_label(kind: str, predictions: Sequence[Any], gold: Sequence[Any], labels: Sequence[str]) -> dict[str, Any]:
    """Return precision, recall and F1 in percent, and the number of right ones, of each entity type or label.

    Args:
        kind: "entities" or "multi_label"; others have no such scores
        predictions: for each example a list of `entity_key`, or of label numbers
        gold: what is right, in the same form
        labels: names, all of which are in the result
    """
    if kind not in ("entities", "multi_label"):
        return {}

    def counted(rows: Sequence[set[Any]]) -> Counter[str]:
        keys = [key for row in rows for key in row]
        return Counter([str(key).split(":", 2)[2] if kind == "entities" else str(labels[key]) for key in keys])

    pairs = [(set(found), set(right)) for found, right in zip(predictions, gold, strict=True)]
    hits, found, right = (
        counted(rows) for rows in ([a & b for a, b in pairs], [a for a, _ in pairs], [b for _, b in pairs])
    )
    return {
        name: {
            "precision": 100.0 * hits[name] / max(found[name], 1),
            "recall": 100.0 * hits[name] / max(right[name], 1),
            "f1": 200.0 * hits[name] / max(found[name] + right[name], 1),
            "gold": right[name],
        }
        for name in labels
    }

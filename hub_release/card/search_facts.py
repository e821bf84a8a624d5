"""Figures of a finished `retrieval` command for the model card, checked to be about the released model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from ...evaluation.estimates import Estimate
from ...runtime.files import model_files_fingerprint, read_record, require_shape

MEASURES = ("ndcg@10", "mrr@10", "recall@100")
MEASURE_TITLES = ("nDCG@10", "MRR@10", "Recall@100")
BASELINE, FUSED = "bm25", "fused"
MEGABYTE = 1e6
# What sentence-transformers calls the evaluation of each of its classes in `model-index`, where readers look for it.
HUB_TASKS = {
    "dense": "information-retrieval",
    "sparse": "sparse-information-retrieval",
    "sparse_documents": "sparse-information-retrieval",
    "late_interaction": "multi-vector-information-retrieval",
    "reranker": "cross-encoder-reranking",
}
GAIN = {"value": float, "low": float, "high": float}
# What a row of the report must have.
ROW: dict[str, Any] = {
    "name": str,
    "kind": str,
    "task": str,
    "queries": int,
    "measures": dict.fromkeys(MEASURES, float),
    "milliseconds_per_query": float,
    "index_bytes": int,
    "model_bytes": int,
}


@dataclass(frozen=True)
class SearchMetric:
    """What one search finds and costs in one set.

    Attributes:
        task: name of the set
        name: what the command called the search
        kind: a key of `HUB_TASKS`, `bm25` or `fused`
        queries: how many were asked
        measures: by name, from 0 to 1
        gain: in nDCG@10 over BM25 on the same queries, with its interval; None for BM25 itself
        milliseconds_per_query: median, from text to hits
        index_bytes: of what is kept of the passages
        model_bytes: of the weights
        is_released: whether the released model searches, alone or fused with others
    """

    task: str
    name: str
    kind: str
    queries: int
    measures: Mapping[str, float]
    gain: Estimate | None
    milliseconds_per_query: float
    index_bytes: int
    model_bytes: int
    is_released: bool

    def shown_name(self, this: str) -> str:
        """Return what the card calls the search; the released model is `this`."""
        if not self.is_released:
            return self.name
        return f"{self.name.partition(' + ')[0]} + {this}" if self.kind == FUSED else this

    @property
    def set_name(self) -> str:
        """What the card calls the set: one of one's own by the end of its path, the rest is nobody else's affair."""
        return Path(self.task).name

    def cells(self, this: str) -> tuple[str, ...]:
        """Return the row of the card's table."""
        gain = self.gain
        return (
            self.set_name,
            self.shown_name(this),
            *(f"{self.measures[name]:.4f}" for name in MEASURES),
            "" if gain is None else f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]",
            f"{self.milliseconds_per_query:.2f}",
            f"{self.index_bytes / MEGABYTE:.2f}",
            f"{self.model_bytes / MEGABYTE:.1f}",
            f"{self.queries:,}",
        )

    def results(self, similarity: str) -> Iterator[EvalResult]:
        """Yield the measures of the released model alone, named as sentence-transformers names them.

        Args:
            similarity: how the model compares, which is a part of the names; empty for a reranker
        """
        if not self.is_released or self.kind == FUSED:
            return
        task = HUB_TASKS[self.kind]
        name, _, split = self.set_name.partition(":")
        for measure in MEASURES:
            key = f"{similarity}_{measure}" if similarity else measure
            yield EvalResult(
                task_type=task,
                task_name=task.replace("-", " ").title(),
                dataset_type=name,
                dataset_name=name,
                dataset_split=split or None,
                metric_type=key,
                metric_name=key.replace("_", " ").title(),
                metric_value=round(self.measures[measure], 4),
            )


def read_search(path: Path, model: Path) -> tuple[tuple[SearchMetric, ...], Mapping[str, Any]]:
    """Return what the report of `retrieval` says of a model, and of the BM25 that it is compared with.

    Args:
        path: its `report.json`
        model: folder of the model that is released: `final` of that command, the model of a stage, or one of `against`

    Returns:
        The rows in their order, and the machine that they were measured on.

    Raises:
        ValueError: For a report of other models, or a file that is no such report.
    """
    machine = dict.fromkeys(("processor", "threads", "accelerator"), str)
    shape = {"results": [ROW], "environment": machine}
    found = read_record(path, shape, "run retrieval again with this version")
    own = model_files_fingerprint(model)
    rows = [_metric(row, row.get("model") == own) for row in found["results"]]
    if not any(one.is_released for one in rows):
        raise ValueError(
            f"retrieval_report {path} is about other models than {model}; give release the folder final of that "
            "command, or name the model under against"
        )
    return tuple(_shown(rows)), found["environment"]


def _metric(row: Mapping[str, Any], is_released: bool) -> SearchMetric:
    gain = row.get("gain_over_bm25")
    if gain is not None:
        require_shape(gain, GAIN, f"the gain of '{row['name']}'")
    return SearchMetric(
        **{name: row[name] for name in ROW},
        gain=Estimate(gain["value"], gain["low"], gain["high"]) if gain else None,
        is_released=is_released,
    )


def _shown(rows: Sequence[SearchMetric]) -> Iterator[SearchMetric]:
    """Yield the rows of BM25 and of the released model, each once: it may be there as a stage and by its folder."""
    seen = set()
    for one in rows:
        key = (one.task, one.kind, one.shown_name(""))
        if (one.is_released or one.kind == BASELINE) and key not in seen:
            seen.add(key)
            yield one

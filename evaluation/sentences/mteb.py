"""Local sets as tasks of mteb, and its Chinese benchmark by name: one runner for figures that others can compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from sentence_transformers import SentenceTransformer

from .retrieval import RetrievalTask
from .rows import ScoredPair, scored_columns

BENCHMARK = "MTEB(cmn, v1)"
SPLIT = "test"


def _mteb() -> Any:
    try:
        import mteb
        import mteb.abstasks
    except ImportError as error:
        raise ImportError("mteb is not installed: pip install 'chinese-modernbert[mteb]'.") from error
    return mteb


def _metadata(name: str, kind: str, main_score: str) -> Any:
    """Return what mteb wants to know of a task that lies on this machine."""
    return _mteb().TaskMetadata(
        name=name,
        description=f"{name}, read from local files",
        dataset={"path": "local", "revision": "local"},
        type=kind,
        eval_splits=[SPLIT],
        eval_langs=["cmn-Hans"],
        main_score=main_score,
    )


def similarity_task(name: str, pairs: Sequence[ScoredPair]) -> Any:
    """Return scored pairs as a task of mteb (`AbsTaskSTS`), scores from 0 to 1.

    Raises:
        ImportError: Without mteb.
        ValueError: If there is no pair.
    """
    if not pairs:
        raise ValueError(f"{name} has no scored pair")
    content = {"default": {SPLIT: Dataset.from_dict(scored_columns(pairs))}}
    from mteb.abstasks.sts import AbsTaskSTS

    return _local(AbsTaskSTS, _metadata(name, "STS", "cosine_spearman"), content, {"min_score": 0, "max_score": 1})


def retrieval_task(name: str, task: RetrievalTask) -> Any:
    """Return a retrieval task as one of mteb (`AbsTaskRetrieval`).

    Raises:
        ImportError: Without mteb.
    """
    _mteb()
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    numbers = [str(number) for number in range(max(len(task.passages), len(task.queries)))]
    passages = {"id": numbers[: len(task.passages)], "title": [""] * len(task.passages), "text": list(task.passages)}
    queries = {"id": numbers[: len(task.queries)], "text": list(task.queries)}
    relevant = {numbers[i]: {numbers[j]: 1 for j in sorted(found)} for i, found in enumerate(task.relevant)}
    split = {
        "corpus": Dataset.from_dict(passages),
        "queries": Dataset.from_dict(queries),
        "relevant_docs": relevant,
        "top_ranked": None,
    }
    return _local(AbsTaskRetrieval, _metadata(name, "Retrieval", "ndcg_at_10"), {"default": {SPLIT: split}}, {})


def _local(base: Any, metadata: Any, content: dict[str, Any], more: dict[str, Any]) -> Any:
    """Return a task whose data are there already, so that nothing is fetched."""

    def load_data(self: Any, **options: Any) -> None:
        self.dataset, self.data_loaded = content, True

    task = type(metadata.name, (base,), {"metadata": metadata, "load_data": load_data, **more})()
    task.load_data()
    return task


def named_tasks(names: Sequence[str]) -> list[Any]:
    """Return tasks of mteb by name, a benchmark's name standing for all of its tasks; each task once.

    Raises:
        ImportError: Without mteb.
        ValueError: For a name that mteb does not know.
    """
    mteb = _mteb()
    benchmarks = {one.name for one in mteb.get_benchmarks()}
    found: dict[str, Any] = {}
    for name in names:
        try:
            tasks = mteb.get_benchmark(name).tasks if name in benchmarks else mteb.get_tasks(tasks=[name])
        except KeyError as error:
            raise ValueError(f"mteb has no task or benchmark '{name}': {error.args[0]}") from error
        found.update((task.metadata.name, task) for task in tasks)
    return list(found.values())


def run_mteb(
    model: SentenceTransformer, tasks: Sequence[Any] | None = None, folder: Path | None = None
) -> dict[str, float]:
    """Score an encoder on tasks of mteb.

    Args:
        model: The encoder.
        tasks: Tasks of `similarity_task` and `retrieval_task`; None: the benchmark `MTEB(cmn, v1)`, which is fetched.
        folder: Where mteb keeps its result files; None keeps none.

    Returns:
        The main score of each task by name.

    Raises:
        ImportError: Without mteb.
    """
    mteb = _mteb()
    chosen = named_tasks([BENCHMARK]) if tasks is None else list(tasks)
    cache = None if folder is None else mteb.ResultCache(folder)
    found = mteb.evaluate(model, chosen, cache=cache, show_progress_bar=False)
    return {one.task_name: float(one.get_score()) for one in found.task_results}

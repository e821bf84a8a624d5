"""Tasks and benchmarks of mteb by name, for scores that are compared across papers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from ...runtime.lazy import optional_import


def _mteb() -> Any:
    with optional_import("its tasks"):
        import mteb
    return mteb


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


def run_mteb(model: SentenceTransformer, tasks: Sequence[Any], folder: Path | None = None) -> dict[str, float]:
    """Score an encoder on tasks of mteb.

    Args:
        model: the encoder
        tasks: tasks of mteb, see `named_tasks`; their data are fetched
        folder: where mteb keeps its result files; None keeps none

    Returns:
        The main score of each task by name.

    Raises:
        ImportError: Without mteb.
    """
    mteb = _mteb()
    cache = None if folder is None else mteb.ResultCache(folder)
    found = mteb.evaluate(model, list(tasks), cache=cache, show_progress_bar=False)
    return {one.task_name: float(one.get_score()) for one in found.task_results}

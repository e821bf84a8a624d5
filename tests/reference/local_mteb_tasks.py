"""Tasks of mteb whose data are at hand, so that its runner can be tested without fetching anything."""

from collections.abc import Sequence
from typing import Any

import mteb
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.sts import AbsTaskSTS

from chinese_modernbert.evaluation.retrieval.tasks import RetrievalTask
from chinese_modernbert.evaluation.sentences.rows import ScoredPair, scored_columns


def similarity_task(name: str, pairs: Sequence[ScoredPair]) -> Any:
    content = Dataset.from_dict(scored_columns(pairs))
    return _task(AbsTaskSTS, name, "STS", "cosine_spearman", content, min_score=0, max_score=1)


def retrieval_task(name: str, task: RetrievalTask) -> Any:
    numbers = [str(number) for number in range(max(len(task.passages), len(task.queries)))]
    passages = {"id": numbers[: len(task.passages)], "title": [""] * len(task.passages), "text": list(task.passages)}
    queries = {"id": numbers[: len(task.queries)], "text": list(task.queries)}
    content = {
        "corpus": Dataset.from_dict(passages),
        "queries": Dataset.from_dict(queries),
        "relevant_docs": {numbers[i]: {numbers[j]: 1 for j in found} for i, found in enumerate(task.relevant)},
        "top_ranked": None,
    }
    return _task(AbsTaskRetrieval, name, "Retrieval", "ndcg_at_10", content)


def _task(base: Any, name: str, kind: Any, main_score: str, content: Any, **more: Any) -> Any:
    def load_data(self: Any, **options: Any) -> None:
        self.dataset, self.data_loaded = {"default": {"test": content}}, True

    metadata = mteb.TaskMetadata(
        name=name,
        description=f"{name}, made in memory",
        dataset={"path": "local", "revision": "local"},
        type=kind,
        eval_splits=["test"],
        eval_langs=["cmn-Hans"],
        main_score=main_score,
    )
    task = type(name, (base,), {"metadata": metadata, "load_data": load_data, **more})()
    task.load_data()
    return task

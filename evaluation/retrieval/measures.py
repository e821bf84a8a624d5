"""The measures of any search: those of sentence-transformers' evaluator, which ranks whatever hits it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

from .tasks import RetrievalTask

RECALLS = (1, 10, 100)


def score_retrieval(task: RetrievalTask, numbers: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return nDCG@10, MRR@10 and recall at 1, 10 and 100 of ranked passages.

    Args:
        task: what was searched
        numbers: int64 `[Q, K]`, passages of each query
        scores: float `[Q, K]`, their scores, higher is better
    """
    names = [str(number) for number in range(len(task.passages))]
    evaluator = InformationRetrievalEvaluator(
        queries={str(number): text for number, text in enumerate(task.queries)},
        corpus=dict(zip(names, task.passages, strict=True)),
        relevant_docs={str(number): {names[i] for i in found} for number, found in enumerate(task.relevant)},
        mrr_at_k=[10],
        ndcg_at_k=[10],
        accuracy_at_k=[1],
        precision_recall_at_k=list(RECALLS),
        map_at_k=[100],
    )
    hits: list[Any] = [
        [{"corpus_id": names[i], "score": float(score)} for i, score in zip(row, values, strict=True)]
        for row, values in zip(numbers.tolist(), scores.tolist(), strict=True)
    ]
    found = evaluator.compute_metrics(hits)
    recalls = {f"recall@{k}": float(found["recall@k"][k]) for k in RECALLS}
    return {"ndcg@10": float(found["ndcg@k"][10]), "mrr@10": float(found["mrr@k"][10]), **recalls}

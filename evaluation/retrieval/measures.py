"""The measures of any search: those of sentence-transformers' evaluator, which ranks whatever hits it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

from .searcher import NOT_FOUND
from .tasks import RetrievalTask

RECALLS = (1, 10, 100)
CUTOFF = 10


def score_retrieval(task: RetrievalTask, numbers: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return nDCG@10, MRR@10 and recall at 1, 10 and 100 of ranked passages.

    Args:
        task: what was searched
        numbers: int64 `[Q, K]`, passages of each query, best first
        scores: float `[Q, K]`, their scores; what was not found is left out
    """
    names = [str(number) for number in range(len(task.passages))]
    evaluator = InformationRetrievalEvaluator(
        queries={str(number): text for number, text in enumerate(task.queries)},
        corpus=dict(zip(names, task.passages, strict=True)),
        relevant_docs={str(number): {names[i] for i in found} for number, found in enumerate(task.relevant)},
        mrr_at_k=[CUTOFF],
        ndcg_at_k=[CUTOFF],
        accuracy_at_k=[1],
        precision_recall_at_k=list(RECALLS),
        map_at_k=[100],
    )
    hits: list[Any] = [
        [{"corpus_id": names[number], "score": -rank} for rank, number in enumerate(row)]
        for row in _found(numbers, scores)
    ]
    found = evaluator.compute_metrics(hits)
    recalls = {f"recall@{k}": float(found["recall@k"][k]) for k in RECALLS}
    ndcg = float(query_ndcg(task, numbers, scores).mean())
    return {"ndcg@10": ndcg, "mrr@10": float(found["mrr@k"][CUTOFF]), **recalls}


def query_ndcg(task: RetrievalTask, numbers: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return nDCG@10 of each query, float64 `[Q]`; grades count as they are, as trec_eval counts them.

    Args:
        task: what was searched
        numbers: int64 `[Q, K]`, passages of each query, best first
        scores: float `[Q, K]`, their scores; what was not found is left out
    """
    dcg = InformationRetrievalEvaluator.compute_dcg_at_k
    found = np.zeros(len(task.queries))
    for query, row in enumerate(_found(numbers, scores)):
        gains = task.gains(query)
        ideal = sorted(gains.values(), reverse=True)
        found[query] = dcg([gains.get(number, 0.0) for number in row], CUTOFF) / dcg(ideal, CUTOFF)
    return found


def _found(numbers: np.ndarray, scores: np.ndarray) -> list[list[int]]:
    return [row[values != NOT_FOUND].tolist() for row, values in zip(numbers, scores, strict=True)]

"""Retrieval with exact search: the task, the search by vectors, and the measures of any search.

The measures are those of sentence-transformers' evaluator, which ranks whatever hits it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.util import semantic_search

from .files import Triple

DEPTH = 100
RECALLS = (1, 10, 100)


@dataclass(frozen=True)
class RetrievalTask:
    """Questions, passages, and which passages answer which question.

    Attributes:
        queries: texts.
        passages: texts, each once.
        relevant: for each query the numbers of its passages, at least one.
    """

    queries: tuple[str, ...]
    passages: tuple[str, ...]
    relevant: tuple[frozenset[int], ...]

    def __post_init__(self) -> None:
        if not self.queries or len(self.queries) != len(self.relevant):
            raise ValueError(f"{len(self.queries)} queries and {len(self.relevant)} sets of passages do not fit")
        for number, found in enumerate(self.relevant):
            if not found or min(found) < 0 or max(found) >= len(self.passages):
                raise ValueError(f"query {number} names no passage, or one outside 0..{len(self.passages) - 1}")


def task_from_triples(triples: Sequence[Triple], distractors: Sequence[str] = ()) -> RetrievalTask:
    """Return the task to find each anchor's positives among all positives, negatives and `distractors`.

    Equal texts are one query or one passage, so that a text never competes with itself.
    """
    passages: dict[str, int] = {}
    wanted: dict[str, set[int]] = {}
    for triple in triples:
        for text in (triple.positive, *triple.negatives):
            passages.setdefault(text, len(passages))
        wanted.setdefault(triple.anchor, set()).add(passages[triple.positive])
    for text in distractors:
        passages.setdefault(text, len(passages))
    return RetrievalTask(tuple(wanted), tuple(passages), tuple(map(frozenset, wanted.values())))


def search_vectors(queries: np.ndarray, passages: np.ndarray, depth: int = DEPTH) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers int64 `[Q, depth]` and cosines of the nearest passages, by exact search."""
    hits = semantic_search(queries, passages, top_k=min(depth, len(passages)))  # pyright: ignore[reportArgumentType]
    numbers = [[int(hit["corpus_id"]) for hit in row] for row in hits]
    return np.array(numbers), np.array([[hit["score"] for hit in row] for row in hits])


def encode_task(model: SentenceTransformer, task: RetrievalTask) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of queries and passages, float32; each side gets the model's own prompt."""
    queries = model.encode_query(list(task.queries), show_progress_bar=False)
    passages = model.encode_document(list(task.passages), show_progress_bar=False)
    return np.asarray(queries), np.asarray(passages)


def score_retrieval(task: RetrievalTask, numbers: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return nDCG@10, MRR@10 and recall at 1, 10 and 100 of ranked passages.

    Args:
        task: What was searched.
        numbers: int64 `[Q, K]`, passages of each query.
        scores: float `[Q, K]`, their scores, higher is better.
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

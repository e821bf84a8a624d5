"""Retrieval measures by hand, and tasks built from triplets."""

import math

import numpy as np
import pytest

from chinese_modernbert.evaluation.retrieval.measures import score_retrieval
from chinese_modernbert.evaluation.retrieval.tasks import RetrievalTask, task_from_triplets
from chinese_modernbert.evaluation.retrieval.vectors import search_vectors
from chinese_modernbert.evaluation.sentences.rows import Triplet

TASK = RetrievalTask(("a", "b"), ("p", "q", "r", "s"), (frozenset({1}), frozenset({0, 3})))


def test_measures_are_those_of_the_definitions() -> None:
    numbers = np.array([[0, 1, 2, 3], [3, 1, 2, 0]])
    found = score_retrieval(TASK, numbers, np.array([[4.0, 3, 2, 1]] * 2))
    assert found["mrr@10"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["recall@1"] == pytest.approx((0 + 1 / 2) / 2)
    assert found["recall@10"] == 1
    gain = [1 / math.log2(rank + 1) for rank in range(1, 5)]
    assert found["ndcg@10"] == pytest.approx((gain[1] / gain[0] + (gain[0] + gain[3]) / (gain[0] + gain[1])) / 2)


def test_exact_search_ranks_by_cosine() -> None:
    random = np.random.default_rng(0)
    queries, passages = random.normal(size=(5, 8)), random.normal(size=(30, 8))
    numbers, scores = search_vectors(queries, passages, depth=30)
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (queries, passages)]
    cosines = unit[0] @ unit[1].T
    assert np.array_equal(numbers, np.argsort(-cosines, axis=1))
    assert scores == pytest.approx(-np.sort(-cosines, axis=1), abs=1e-6)


def test_equal_texts_are_one_query_and_one_passage() -> None:
    triplets = [Triplet("q", "p", ("n",)), Triplet("q", "p2"), Triplet("r", "p", ("p2",))]
    task = task_from_triplets(triplets, distractors=("n", "d"))
    assert task.queries == ("q", "r") and task.passages == ("p", "n", "p2", "d")
    assert task.relevant == (frozenset({0, 2}), frozenset({0}))


@pytest.mark.parametrize(
    ("queries", "relevant", "message"),
    [((), (), "do not fit"), (("a",), (frozenset(),), "names no passage"), (("a",), (frozenset({9}),), "outside 0..1")],
)
def test_a_task_that_cannot_be_scored_is_refused(queries: tuple, relevant: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RetrievalTask(queries, ("p", "q"), relevant)

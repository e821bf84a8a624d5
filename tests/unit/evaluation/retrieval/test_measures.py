"""Measures of a ranking by hand, and with grades as scikit-learn has them."""

import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from chinese_modernbert.evaluation.retrieval.measures import query_ndcg, score_retrieval
from chinese_modernbert.evaluation.retrieval.searcher import NOT_FOUND
from chinese_modernbert.evaluation.retrieval.tasks import RetrievalTask

TASK = RetrievalTask(("a", "b"), ("p", "q", "r", "s"), (frozenset({1}), frozenset({0, 3})))


def test_measures_are_those_of_the_definitions() -> None:
    numbers = np.array([[0, 1, 2, 3], [3, 1, 2, 0]])
    found = score_retrieval(TASK, numbers, np.array([[4.0, 3, 2, 1]] * 2))
    assert found["mrr@10"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["recall@1"] == pytest.approx((0 + 1 / 2) / 2)
    assert found["recall@10"] == 1
    gain = [1 / math.log2(rank + 1) for rank in range(1, 5)]
    assert found["ndcg@10"] == pytest.approx((gain[1] / gain[0] + (gain[0] + gain[3]) / (gain[0] + gain[1])) / 2)


def test_graded_measures_are_those_of_scikit_learn() -> None:
    drawn = np.random.default_rng(0)
    grades = drawn.integers(0, 4, (6, 30))
    grades[:, 0] = 2
    scores = drawn.permuted(np.tile(np.arange(30.0), (6, 1)), axis=1)
    numbers = np.argsort(-scores, axis=1)
    rows = [{one: float(row[one]) for one in np.flatnonzero(row).tolist()} for row in grades]
    relevant = tuple(frozenset(one for one, grade in row.items() if grade >= 2) for row in rows)
    task = RetrievalTask(tuple("abcdef"), tuple(map(str, range(30))), relevant, tuple(rows))
    found = query_ndcg(task, numbers, np.take_along_axis(scores, numbers, axis=1))
    expected = [ndcg_score([row], [one], k=10) for row, one in zip(grades, scores, strict=True)]
    assert found == pytest.approx(expected)
    measures = score_retrieval(task, numbers, np.take_along_axis(scores, numbers, axis=1))
    assert measures["ndcg@10"] == pytest.approx(np.mean(expected))
    firsts = [min(np.flatnonzero(np.isin(row, list(own)))) for row, own in zip(numbers, relevant, strict=True)]
    assert measures["mrr@10"] == pytest.approx(np.mean([1 / (1 + first) if first < 10 else 0 for first in firsts]))


def test_a_passage_that_was_not_found_counts_for_nothing() -> None:
    numbers = np.array([[1, 0, 2, 3], [0, 1, 2, 3]])
    scores = np.array([[NOT_FOUND] * 4, [1, NOT_FOUND, NOT_FOUND, NOT_FOUND]])
    found = score_retrieval(TASK, numbers, scores)
    assert found["recall@100"] == 0.25 and found["mrr@10"] == 0.5
    assert query_ndcg(TASK, numbers, scores) == pytest.approx([0, 1 / (1 + 1 / math.log2(3))])

"""Retrieval measures by hand, BM25 against its formula, and tasks built from triples."""

import math

import numpy as np
import pytest

from chinese_modernbert.evaluation.retrieval import (
    RetrievalTask,
    score_retrieval,
    search_bm25,
    search_vectors,
    task_from_triples,
)
from chinese_modernbert.evaluation.sentence_data import Triple


class Spaces:
    def cut(self, text: str) -> list[str]:
        return text.split(" ")


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


def test_bm25_scores_are_those_of_the_formula() -> None:
    passages = ("x y y z", "x x", "z w w w w", "u")
    task = RetrievalTask(("y z",), passages, (frozenset({0}),))
    numbers, scores = search_bm25(task, Spaces(), depth=4)
    words = [text.split(" ") for text in passages]
    mean = sum(map(len, words)) / len(words)
    wanted = []
    for document in words:
        score = 0.0
        for word in ("y", "z"):
            holding = sum(word in one for one in words)
            weight = math.log(1 + (len(words) - holding + 0.5) / (holding + 0.5))
            count = document.count(word)
            score += weight * count / (count + 1.5 * (1 - 0.75 + 0.75 * len(document) / mean))
        wanted.append(score)
    assert scores[0] == pytest.approx([wanted[i] for i in numbers[0]], abs=1e-5)
    assert numbers[0, 0] == 0


def test_a_query_of_unknown_words_still_gets_hits() -> None:
    task = RetrievalTask(("！！", "q"), ("x", "y"), (frozenset({0}), frozenset({1})))
    numbers, scores = search_bm25(task, Spaces())
    assert numbers.shape == (2, 2) and (scores == 0).all()


def test_equal_texts_are_one_query_and_one_passage() -> None:
    triples = [Triple("q", "p", ("n",)), Triple("q", "p2"), Triple("r", "p", ("p2",))]
    task = task_from_triples(triples, distractors=("n", "d"))
    assert task.queries == ("q", "r") and task.passages == ("p", "n", "p2", "d")
    assert task.relevant == (frozenset({0, 2}), frozenset({0}))


@pytest.mark.parametrize(
    ("queries", "relevant", "message"),
    [((), (), "do not fit"), (("a",), (frozenset(),), "names no passage"), (("a",), (frozenset({9}),), "outside 0..1")],
)
def test_a_task_that_cannot_be_scored_is_refused(queries: tuple, relevant: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RetrievalTask(queries, ("p", "q"), relevant)

"""Search by BM25 against its formula."""

import numpy as np
import pytest

from chinese_modernbert.evaluation.retrieval.bm25 import Bm25Searcher, search_bm25
from chinese_modernbert.evaluation.retrieval.searcher import NOT_FOUND
from chinese_modernbert.evaluation.retrieval.tasks import RetrievalTask
from reference.slow_bm25 import Spaces, slow_bm25


def test_scores_are_those_of_the_formula() -> None:
    passages = ("x y y z", "x x", "z w w w w", "u")
    task = RetrievalTask(("y z",), passages, (frozenset({0}),))
    numbers, scores = search_bm25(task, Spaces(), depth=4)
    expected = slow_bm25(["y", "z"], [text.split(" ") for text in passages])
    assert scores[0, :2] == pytest.approx([expected[i] for i in numbers[0, :2]], abs=1e-5)
    assert numbers[0].tolist()[:2] == [0, 2] and (scores[0, 2:] == NOT_FOUND).all()


def test_a_query_of_unknown_words_still_gets_hits() -> None:
    task = RetrievalTask(("！！", "q"), ("x", "y"), (frozenset({0}), frozenset({1})))
    numbers, scores = search_bm25(task, Spaces())
    assert numbers.shape == (2, 2) and (scores == NOT_FOUND).all()


@pytest.mark.parametrize("depth", [1, 3, 5, 9])
def test_passages_of_equal_score_come_in_their_own_order(depth: int) -> None:
    passages = ["x a", "z", "x b", "x y", "x c", "x d", "x y", "x e", "u"]
    searcher = Bm25Searcher(Spaces())
    searcher.build(passages)
    (numbers,), _ = searcher.search(["x y"], depth)
    scores = np.round(slow_bm25(["x", "y"], [text.split(" ") for text in passages]), 6)
    assert numbers.tolist() == np.argsort(-scores, kind="stable")[:depth].tolist()

"""BM25 against its formula, in search and between the texts of pairs."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from chinese_modernbert.evaluation.retrieval.bm25 import search_bm25
from chinese_modernbert.evaluation.retrieval.tasks import RetrievalTask
from chinese_modernbert.evaluation.sentences.bm25 import bm25_similarity
from chinese_modernbert.evaluation.sentences.files import ScoredPair


class Spaces:
    def cut(self, text: str) -> list[str]:
        return text.split(" ")


def slow_bm25(query: Sequence[str], documents: Sequence[Sequence[str]]) -> list[float]:
    """Return the scores of all documents, word by word."""
    mean = sum(map(len, documents)) / len(documents)
    scores = []
    for document in documents:
        score = 0.0
        for word in query:
            holding = sum(word in one for one in documents)
            weight = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            count = document.count(word)
            score += weight * count / (count + 1.5 * (1 - 0.75 + 0.75 * len(document) / mean))
        scores.append(score)
    return scores


def test_scores_are_those_of_the_formula() -> None:
    passages = ("x y y z", "x x", "z w w w w", "u")
    task = RetrievalTask(("y z",), passages, (frozenset({0}),))
    numbers, scores = search_bm25(task, Spaces(), depth=4)
    expected = slow_bm25(["y", "z"], [text.split(" ") for text in passages])
    assert scores[0] == pytest.approx([expected[i] for i in numbers[0]], abs=1e-5)
    assert numbers[0, 0] == 0


def test_a_query_of_unknown_words_still_gets_hits() -> None:
    task = RetrievalTask(("！！", "q"), ("x", "y"), (frozenset({0}), frozenset({1})))
    numbers, scores = search_bm25(task, Spaces())
    assert numbers.shape == (2, 2) and (scores == 0).all()


def test_the_similarity_of_a_pair_is_the_mean_share_of_both_directions() -> None:
    texts = ["x y y z", "x x", "z w w w w", "u", "！！"]
    documents = [text.split(" ") for text in texts[:4]] + [[""]]
    numbers_of_pairs = [(0, 1), (1, 0), (2, 0), (3, 3), (0, 3), (4, 0), (4, 4)]
    found = bm25_similarity([ScoredPair(texts[a], texts[b], 1.0) for a, b in numbers_of_pairs], Spaces())
    scores = [slow_bm25([word for word in document if word], documents) for document in documents]

    def share(a: int, b: int) -> float:
        return scores[a][b] / scores[a][a] if scores[a][a] else 0.0

    assert found == pytest.approx(np.array([(share(a, b) + share(b, a)) / 2 for a, b in numbers_of_pairs]), abs=1e-5)
    assert found[3] == 1 and found[4] == found[5] == found[6] == 0

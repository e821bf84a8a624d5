"""The similarity of pairs by BM25 against its formula."""

import numpy as np
import pytest

from chinese_modernbert.evaluation.sentences.bm25 import bm25_similarity
from chinese_modernbert.evaluation.sentences.rows import ScoredPair
from reference.slow_bm25 import Spaces, slow_bm25


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

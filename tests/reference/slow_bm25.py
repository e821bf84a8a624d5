"""BM25 word by word, by its formula."""

import math
from collections.abc import Sequence


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

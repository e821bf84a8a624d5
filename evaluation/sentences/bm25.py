"""BM25 as a similarity of pairs, a baseline that learns nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...tokenization import WordSegmenter
from ..retrieval.bm25 import index_words, words_of
from .rows import ScoredPair


def bm25_similarity(pairs: Sequence[ScoredPair], segmenter: WordSegmenter) -> np.ndarray:
    """Return how well the texts of each pair find each other, float `[N]`: 1 for equal texts, 0 without a shared word.

    The score of one text for the other, as a share of its score for itself, is taken in both directions and averaged;
    words are weighed by the texts of all pairs. Source: our default.

    Raises:
        ImportError: If bm25s is not installed.
    """
    number = {text: n for n, text in enumerate(dict.fromkeys(t for pair in pairs for t in (pair.first, pair.second)))}
    words = [words_of(text, segmenter) for text in number]
    index = index_words(words)
    partners: dict[int, set[int]] = {}
    for pair in pairs:
        first, second = number[pair.first], number[pair.second]
        partners.setdefault(first, set()).add(second)
        partners.setdefault(second, set()).add(first)
    shares: dict[tuple[int, int], float] = {}
    for query, others in partners.items():
        scores = index.get_scores(words[query]) if words[query] else np.zeros(len(number))
        shares.update({(query, other): scores[other] / scores[query] if scores[query] else 0.0 for other in others})
    numbered = [(number[pair.first], number[pair.second]) for pair in pairs]
    return np.array([(shares[a, b] + shares[b, a]) / 2 for a, b in numbered], dtype=np.float64)

"""BM25 over words: search in passages, and a similarity of pairs, as a baseline that learns nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...tokenization import WordSegmenter
from .retrieval import DEPTH, RetrievalTask
from .rows import ScoredPair


def search_bm25(task: RetrievalTask, segmenter: WordSegmenter, depth: int = DEPTH) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers int64 `[Q, depth]` of the best passages and their scores float `[Q, depth]`.

    Raises:
        ImportError: If bm25s is not installed.
    """
    index = _index([_words(text, segmenter) for text in task.passages])
    words = [[word for word in _words(text, segmenter) if word in index.vocab_dict] for text in task.queries]
    depth = min(depth, len(task.passages))
    # A query without a known word scores 0 everywhere: it gets the first passages.
    numbers = np.tile(np.arange(depth), (len(words), 1))
    scores = np.zeros(numbers.shape)
    known = [row for row, found in enumerate(words) if found]
    if known:
        hits, values = index.retrieve([words[row] for row in known], k=depth, show_progress=False)
        numbers[known], scores[known] = hits, values
    return numbers, scores


def bm25_similarity(pairs: Sequence[ScoredPair], segmenter: WordSegmenter) -> np.ndarray:
    """Return how well the texts of each pair find each other, float `[N]`: 1 for equal texts, 0 without a shared word.

    The score of one text for the other, as a share of its score for itself, is taken in both directions and averaged;
    words are weighed by the texts of all pairs. Source: our default.

    Raises:
        ImportError: If bm25s is not installed.
    """
    number = {text: n for n, text in enumerate(dict.fromkeys(t for pair in pairs for t in (pair.first, pair.second)))}
    words = [_words(text, segmenter) for text in number]
    index = _index(words)
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


def _index(texts: Sequence[Sequence[str]]) -> Any:
    """Return an index of texts given as words (the Lucene form of the library bm25s, k1 1.5, b 0.75)."""
    try:
        import bm25s
    except ImportError as error:
        raise ImportError("BM25 needs bm25s: pip install 'chinese-modernbert[eval]'") from error
    index = bm25s.BM25()
    index.index([list(words) or [""] for words in texts], show_progress=False)
    return index


def _words(text: str, segmenter: WordSegmenter) -> list[str]:
    """Return the words of a text in lower case, without spaces and punctuation."""
    return [word.lower() for word in segmenter.cut(text) if any(letter.isalnum() for letter in word)]

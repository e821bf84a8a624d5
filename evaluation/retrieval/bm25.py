"""BM25 over words, as a baseline that learns nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...tokenization import WordSegmenter
from .tasks import RetrievalTask
from .vectors import DEPTH


def search_bm25(task: RetrievalTask, segmenter: WordSegmenter, depth: int = DEPTH) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers int64 `[Q, depth]` of the best passages and their scores float `[Q, depth]`.

    Raises:
        ImportError: If bm25s is not installed.
    """
    index = index_words([words_of(text, segmenter) for text in task.passages])
    words = [[word for word in words_of(text, segmenter) if word in index.vocab_dict] for text in task.queries]
    depth = min(depth, len(task.passages))
    # A query without a known word scores 0 everywhere: it gets the first passages.
    numbers = np.tile(np.arange(depth), (len(words), 1))
    scores = np.zeros(numbers.shape)
    known = [row for row, found in enumerate(words) if found]
    if known:
        hits, values = index.retrieve([words[row] for row in known], k=depth, show_progress=False)
        numbers[known], scores[known] = hits, values
    return numbers, scores


def index_words(texts: Sequence[Sequence[str]]) -> Any:
    """Return an index of texts given as words (the Lucene form of the library bm25s, k1 1.5, b 0.75)."""
    try:
        import bm25s
    except ImportError as error:
        raise ImportError("BM25 needs bm25s: pip install 'chinese-modernbert[eval]'") from error
    index = bm25s.BM25()
    index.index([list(words) or [""] for words in texts], show_progress=False)
    return index


def words_of(text: str, segmenter: WordSegmenter) -> list[str]:
    """Return the words of a text in lower case, without spaces and punctuation."""
    return [word.lower() for word in segmenter.cut(text) if any(letter.isalnum() for letter in word)]

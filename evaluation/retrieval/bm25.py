"""BM25 over words, or over the tokens of a model, as a baseline that learns nothing."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from ...runtime.lazy import optional_import
from ...tokenization import WordSegmenter
from .searcher import (
    DEPTH,
    NOT_FOUND,
    Hits,
    best_hits,
    checked_passages,
    joined_hits,
    require_index,
    search_in_parts,
)
from .tasks import RetrievalTask


class TokenSegmenter:
    """Cuts a text into its tokens where a `WordSegmenter` would cut words.

    A word that is cut otherwise in query and passage is lost to BM25; what tokens it is made of is not.

    Args:
        tokenizer: of a model; its special tokens are left out, and texts are read whole
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.backend = copy.deepcopy(tokenizer.backend_tokenizer)  # a model that shares it cuts texts by it
        self.backend.no_truncation()

    def cut(self, text: str) -> list[str]:
        """Return the pieces of the text that are tokens; several tokens of one character are that character each."""
        offsets = self.backend.encode(text, add_special_tokens=False).offsets
        return [text[start:end] for start, end in offsets]


class Bm25Searcher:
    """Search by words: the Lucene form of the library bm25s, k1 1.5, b 0.75.

    Args:
        segmenter: cuts texts into words
    """

    kind = "bm25"
    model_bytes = 0

    def __init__(self, segmenter: WordSegmenter) -> None:
        self.segmenter = segmenter
        self._index: Any = None

    @property
    def index_bytes(self) -> int:
        """Bytes of the weights, their places, and the vocabulary, as bm25s saves them."""
        index = require_index(self._index)
        arrays = sum(index.scores[name].nbytes for name in ("data", "indices", "indptr"))
        return arrays + sum(len(word.encode("utf-8", "surrogatepass")) for word in index.vocab_dict)

    def build(self, passages: Sequence[str]) -> None:
        """Count the words of the passages, see `Searcher`.

        Raises:
            ImportError: If bm25s is not installed.
            ValueError: See `Searcher.build`.
        """
        self._index = index_words([words_of(text, self.segmenter) for text in checked_passages(passages)])

    def search(self, queries: Sequence[str], depth: int = DEPTH) -> Hits:
        """Return the best passages, see `Searcher`; one without a word of the query counts as not found."""
        return search_in_parts(self._search, queries, depth)

    def _search(self, queries: list[str], depth: int) -> Hits:
        return joined_hits(self._one(text, depth) for text in queries)

    def _one(self, query: str, depth: int) -> Hits:
        """Return the hits of one query; bm25s' own ranking takes passages of equal score in any order."""
        index = require_index(self._index)
        words = [word for word in words_of(query, self.segmenter) if word in index.vocab_dict]
        found = index.get_scores(words) if words else np.zeros(index.scores["num_docs"], dtype=np.float32)
        numbers, scores = best_hits(found[None], depth)
        return numbers, np.where(scores > 0, scores, NOT_FOUND)


def search_bm25(task: RetrievalTask, segmenter: WordSegmenter, depth: int = DEPTH) -> Hits:
    """Return the hits of a task's queries, see `Searcher.search`.

    Raises:
        ImportError: If bm25s is not installed.
    """
    searcher = Bm25Searcher(segmenter)
    searcher.build(task.passages)
    return searcher.search(task.queries, depth)


def index_words(texts: Sequence[Sequence[str]]) -> Any:
    """Return an index of texts given as words."""
    with optional_import("BM25"):
        import bm25s
    index = bm25s.BM25()
    index.index([list(words) or [""] for words in texts], show_progress=False)
    return index


def words_of(text: str, segmenter: WordSegmenter) -> list[str]:
    """Return the words of a text in lower case, without spaces and punctuation."""
    return [word.lower() for word in segmenter.cut(text) if any(letter.isalnum() for letter in word)]

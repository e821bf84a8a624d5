"""A lexicon of replacements that keep the token count: meaning or sound decides, the labels stay aligned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.counter_random import fold

# Words of more tokens are not looked up. Our default: the units of the main preset have at most 8 tokens.
MAX_WORD_TOKENS = 8


@dataclass(frozen=True)
class SimilarWords:
    """Word -> words of the same number of tokens, all as token ids.

    Attributes:
        hashes: uint64 `[W]`, sorted hashes of the words' token ids.
        words: int32 `[W, T]`, the words themselves (padded with -1), to rule out a collision.
        count: int64 `[W]`, number of alternatives, >= 1.
        alternatives: int32 `[W, K, T]`.
    """

    hashes: np.ndarray
    words: np.ndarray
    count: np.ndarray
    alternatives: np.ndarray

    @classmethod
    def build(cls, entries: Mapping[Sequence[int], Sequence[Sequence[int]]]) -> "SimilarWords":
        """Build from `{word ids: [other word ids, ...]}`; alternatives of another length or equal to the word drop out.

        Raises:
            ValueError: no word has a usable alternative.
        """
        usable: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for word, others in entries.items():
            ids = tuple(word)
            same = dict.fromkeys(tuple(other) for other in others if len(other) == len(ids) and tuple(other) != ids)
            if same and 0 < len(ids) <= MAX_WORD_TOKENS:
                usable[ids] = list(same)
        if not usable:
            raise ValueError("no word of the lexicon has another word with the same number of tokens; add entries.")
        width = max(map(len, usable))
        words = np.full((len(usable), width), -1, dtype=np.int32)
        count = np.array([len(others) for others in usable.values()], dtype=np.int64)
        alternatives = np.full((len(usable), int(count.max()), width), -1, dtype=np.int32)
        for index, (word, others) in enumerate(usable.items()):
            words[index, : len(word)] = word
            alternatives[index, : len(others), : len(word)] = others
        hashes = _hash_words(words)
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], words[order], count[order], alternatives[order])

    def __len__(self) -> int:
        return len(self.hashes)

    def find(self, ids: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
        """Look words up.

        Args:
            ids: integer `[N]`, flat token ids.
            start: int64 `[n]`, flat offset of each word.
            length: int64 `[n]`, tokens of each word.

        Returns:
            int64 `[n]`, the entry, or -1 where the lexicon has none.
        """
        width = self.words.shape[1]
        column = np.arange(width)
        inside = column < length[:, None]
        offsets = np.minimum(start[:, None] + column, ids.size - 1)
        words = np.where(inside, ids[offsets], -1).astype(np.int32)
        entry = np.minimum(np.searchsorted(self.hashes, _hash_words(words)), len(self) - 1)
        known = (length <= width) & (self.words[entry] == words).all(axis=1)
        return np.where(known, entry, -1)

    def choose(self, entry: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Return int32 `[n, T]`: for each entry the alternative that `uniform` (float `[n]`) picks, padded with -1."""
        return self.alternatives[entry, (uniform * self.count[entry]).astype(np.int64)]


def _hash_words(words: np.ndarray) -> np.ndarray:
    """Return uint64 `[n]` hashes of integer `[n, T]` rows; padding (-1) at the end does not count."""
    hashed = np.zeros(len(words), dtype=np.uint64)
    for column in words.T:
        hashed = np.where(column >= 0, fold(hashed, column.astype(np.int64)), hashed)
    return hashed

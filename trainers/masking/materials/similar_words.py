"""Lexicons of words with as many tokens, so that labels stay aligned: by table, sound, shape or vectors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....evaluation.spelling.confusion import ConfusionSet
from ....runtime.counter_random import hash_combine
from ....runtime.lazy import optional_import
from ....runtime.text_files import read_lines

# Words of more tokens are not looked up. Our default: the units of the main preset have at most 8 tokens.
MAX_WORD_TOKENS = 8
# Alternatives kept for each word. Our default.
ALTERNATIVES = 10
# Below any cosine.
NEVER = -2.0

Encode = Callable[[str], Sequence[int]]


@dataclass(frozen=True)
class SimilarWords:
    """Word -> words of the same number of tokens, all as token ids.

    Attributes:
        hashes: uint64 `[W]`, sorted hashes of the words' token ids
        words: int32 `[W, T]`, the words themselves (padded with -1), to rule out a collision
        count: int64 `[W]`, number of alternatives, >= 1
        alternatives: int32 `[W, K, T]`
    """

    hashes: np.ndarray
    words: np.ndarray
    count: np.ndarray
    alternatives: np.ndarray

    @classmethod
    def build(cls, similar: Mapping[Sequence[int], Sequence[Sequence[int]]]) -> "SimilarWords":
        """Build from `{word: [alternatives]}`, all as ids; those of another length or equal to the word are dropped.

        Raises:
            ValueError: If no word has a usable alternative.
        """
        usable: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for word, others in similar.items():
            ids = tuple(word)
            same = dict.fromkeys(tuple(other) for other in others if len(other) == len(ids) and tuple(other) != ids)
            if same and 0 < len(ids) <= MAX_WORD_TOKENS:
                usable[ids] = list(same)
        if not usable:
            raise ValueError("no word of the lexicon has another word with the same number of tokens; add words")
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
            ids: integer `[N]`, flat token ids
            start: int64 `[n]`, flat offset of each word
            length: int64 `[n]`, tokens of each word

        Returns:
            int64 `[n]`, index of the word in the lexicon, or -1 where it is not listed.
        """
        width = self.words.shape[1]
        column = np.arange(width)
        inside = column < length[:, None]
        offsets = np.minimum(start[:, None] + column, ids.size - 1)
        words = np.where(inside, ids[offsets], -1).astype(np.int32)
        index = np.minimum(np.searchsorted(self.hashes, _hash_words(words)), len(self) - 1)
        known = (length <= width) & (self.words[index] == words).all(axis=1)
        return np.where(known, index, -1)

    def choose(self, index: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Return int32 `[n, T]`: for each word the alternative that `uniform` (float `[n]`) picks, padded with -1."""
        return self.alternatives[index, (uniform * self.count[index]).astype(np.int64)]


def _hash_words(words: np.ndarray) -> np.ndarray:
    """Return uint64 `[n]` hashes of integer `[n, T]` rows; padding (-1) at the end does not count."""
    hashed = np.zeros(len(words), dtype=np.uint64)
    for column in words.T:
        hashed = np.where(column >= 0, hash_combine(hashed, column.astype(np.int64)), hashed)
    return hashed


def word_lexicon(similar: Mapping[str, Sequence[str]], encode: Encode) -> SimilarWords:
    """Turn a table of words into one of token ids.

    Args:
        similar: word -> similar words, best first
        encode: word -> token ids, without special tokens

    Raises:
        ValueError: If no word has an alternative with as many tokens.
    """
    return SimilarWords.build({tuple(encode(word)): [encode(other) for other in similar[word]] for word in similar})


def homophone_lexicon(words: Sequence[str], encode: Encode, alternatives: int = ALTERNATIVES) -> SimilarWords:
    """Group words with the same toneless pinyin and the same number of characters.

    Source: homophone noise as in phonetic cloaking (PCR-ToxiCN) and spelling correction.

    Args:
        words: candidates, the most frequent first (they are preferred as replacements)
        encode: as in `word_lexicon`
        alternatives: number kept for each word

    Raises:
        ImportError: If pypinyin is not installed.
        ValueError: If no two words sound alike.
    """
    with optional_import("homophones"):
        from pypinyin import lazy_pinyin  # pyright: ignore[reportMissingImports]
    groups: dict[tuple[int, str], list[str]] = {}
    for word in dict.fromkeys(words):
        groups.setdefault((len(word), " ".join(lazy_pinyin(word))), []).append(word)
    similar = {
        word: [other for other in group[: alternatives + 1] if other != word][:alternatives]
        for group in groups.values()
        if len(group) > 1
        for word in group
    }
    return word_lexicon(similar, encode)


def neighbor_lexicon(
    words: Sequence[str],
    vectors: np.ndarray,
    encode: Encode,
    alternatives: int = ALTERNATIVES,
    minimum_similarity: float = 0.5,
) -> SimilarWords:
    """Take the nearest words by cosine similarity.

    Source: MacBERT takes similar words from word2vec; the threshold is ours.

    Args:
        words: W words
        vectors: float `[W, D]`, one for each word (word2vec, or mean input embeddings of a model)
        encode: as in `word_lexicon`
        alternatives: number kept for each word
        minimum_similarity: pairs below it are ignored

    Raises:
        ValueError: If vectors do not fit the words, or no word has a neighbour.
    """
    counts = np.array([len(encode(word)) for word in words])
    return word_lexicon(nearest_words(words, vectors, counts, alternatives, minimum_similarity), encode)


def nearest_words(
    words: Sequence[str],
    vectors: np.ndarray,
    groups: np.ndarray,
    alternatives: int = ALTERNATIVES,
    minimum_similarity: float = 0.5,
) -> dict[str, list[str]]:
    """Return for each word the nearest ones of its group by cosine similarity, nearest first.

    Args:
        words: W words
        vectors: float `[W, D]`, one for each word
        groups: integer `[W]`; words of different groups are never similar
        alternatives: number kept for each word
        minimum_similarity: pairs below it are ignored

    Raises:
        ValueError: If vectors do not fit the words.
    """
    if len(words) != len(vectors):
        raise ValueError(f"{len(words)} words but {len(vectors)} vectors; give one vector for each word")
    unit = (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    kept = min(alternatives, len(words) - 1)
    similar: dict[str, list[str]] = {}
    for first in range(0, len(words), 1024):
        closeness = unit[first : first + 1024] @ unit.T
        closeness[groups[first : first + 1024, None] != groups] = NEVER
        np.fill_diagonal(closeness[:, first:], NEVER)
        for row, values in enumerate(closeness, start=first):
            # Few words pass, so that looking for them first is many times as quick as ordering all.
            near = np.flatnonzero(values >= minimum_similarity)
            if len(near) > kept:
                near = np.sort(near[np.argpartition(-values[near], kept)[:kept]])
            near = near[np.argsort(-values[near], kind="stable")]
            similar[words[row]] = [str(words[other]) for other in near.tolist()]
    return similar


def confused_words(words: Sequence[str], confusion: ConfusionSet) -> dict[str, list[str]]:
    """Return for each word those of the list that differ from it in one character that is confused with its own.

    Args:
        words: words of any length, such as 权利 and 权力
        confusion: which characters are taken for which
    """
    known = set(words)
    return {
        word: [
            other
            for place, character in enumerate(word)
            for confused in confusion.alternatives(character)
            if (other := word[:place] + confused + word[place + 1 :]) in known
        ]
        for word in words
    }


def read_similar_words(path: str | Path) -> dict[str, list[str]]:
    """Read lines of a word, a tab and the words that are similar to it, parted by blanks, best first.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With file and line, for a line of another form; or if the file has no word.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{path} does not exist; give a text file of a word, a tab and similar words a line")
    similar: dict[str, list[str]] = {}
    for number, line in read_lines(file):
        if not line.strip():
            continue
        word, tab, others = line.partition("\t")
        if not tab or not word.strip() or not others.strip():
            raise ValueError(f"{file}:{number} is {line[:40]!r}; write a word, a tab, similar words parted by blanks")
        similar.setdefault(word.strip(), []).extend(others.split())
    if not similar:
        raise ValueError(f"{file} holds no word; write a word, a tab and similar words a line")
    return similar

"""Builders of similar-word lexicons: words that sound alike, words whose vectors are close."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .similar_words import SimilarWords

Encode = Callable[[str], Sequence[int]]

# How many alternatives a word keeps. Our default.
ALTERNATIVES = 10


def word_lexicon(similar: Mapping[str, Sequence[str]], encode: Encode) -> SimilarWords:
    """Turn a table of words into one of token ids.

    Args:
        similar: word -> similar words, best first.
        encode: word -> token ids, without special tokens.

    Raises:
        ValueError: no word has an alternative with as many tokens.
    """
    return SimilarWords.build({tuple(encode(word)): [encode(other) for other in similar[word]] for word in similar})


def homophone_lexicon(words: Sequence[str], encode: Encode, alternatives: int = ALTERNATIVES) -> SimilarWords:
    """Group words with the same toneless pinyin and the same number of characters.

    Source: homophone noise as in phonetic cloaking (PCR-ToxiCN) and spelling correction.

    Args:
        words: candidates, the most frequent first (they are preferred as replacements).
        encode: as in `word_lexicon`.
        alternatives: how many each word keeps.

    Raises:
        ImportError: pypinyin is not installed.
        ValueError: no two words sound alike.
    """
    try:
        from pypinyin import lazy_pinyin  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError("homophones need the package pypinyin: pip install pypinyin") from error
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


def neighbour_lexicon(
    words: Sequence[str],
    vectors: np.ndarray,
    encode: Encode,
    alternatives: int = ALTERNATIVES,
    minimum_similarity: float = 0.5,
) -> SimilarWords:
    """Take the nearest words by cosine similarity.

    Source: MacBERT takes similar words from word2vec; the threshold is ours.

    Args:
        words: W words.
        vectors: float `[W, D]`, one for each word (word2vec, or mean input embeddings of a model).
        encode: as in `word_lexicon`.
        alternatives: how many each word keeps.
        minimum_similarity: pairs below it do not count.

    Raises:
        ValueError: vectors do not fit the words, or no word has a neighbour.
    """
    if len(words) != len(vectors):
        raise ValueError(f"{len(words)} words but {len(vectors)} vectors; give one vector for each word.")
    unit = (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    tokens = np.array([len(encode(word)) for word in words])
    similar: dict[str, Sequence[str]] = {}
    for first in range(0, len(words), 1024):
        closeness = unit[first : first + 1024] @ unit.T
        closeness[tokens[first : first + 1024, None] != tokens] = -1.0
        for row, values in enumerate(closeness, start=first):
            values[row] = -1.0
            best = np.argsort(-values, kind="stable")[:alternatives].tolist()
            similar[words[row]] = [str(words[other]) for other in best if values[other] >= minimum_similarity]
    return word_lexicon(similar, encode)

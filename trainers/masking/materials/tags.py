"""Tag columns from the text of words: a lexicon, parts of speech, or any function of a word."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ....runtime.counter_random import CounterRandom
from ....runtime.lazy import require_packages
from ....tokenization.pre_tokenization import BYTE_TOKENS
from ....tokenization.word_segmentation import search_form
from ..batch import PackedBatch
from ..units import ColumnUnits, token_offsets

UNTAGGED = -1

# Source: Universal Dependencies version 2, in alphabetical order; a tag's number is its index.
UNIVERSAL_TAGS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM",
    "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X",
)  # fmt: skip

# jieba's flags (the ICTCLAS set), the longest prefix listed here wins.
# Source: the ICTCLAS tag set; the mapping is ours, coarse where a flag covers several universal tags.
JIEBA_FLAGS = {
    "a": "ADJ", "ad": "ADV", "an": "NOUN", "b": "ADJ", "c": "CCONJ", "d": "ADV", "e": "INTJ", "eng": "X",
    "f": "NOUN", "g": "NOUN", "h": "X", "i": "VERB", "j": "NOUN", "k": "X", "l": "VERB", "m": "NUM",
    "n": "NOUN", "nr": "PROPN", "ns": "PROPN", "nt": "PROPN", "nz": "PROPN", "o": "INTJ", "p": "ADP", "q": "NOUN",
    "r": "PRON", "s": "NOUN", "t": "NOUN", "u": "PART", "v": "VERB", "vn": "NOUN", "w": "PUNCT", "x": "X",
    "y": "PART", "z": "ADJ", "zg": "ADV",
}  # fmt: skip


def lexicon_tagger(strata: Sequence[Iterable[str]]) -> Callable[[str], int]:
    """Return a tagger that gives a word the number of the first word list that holds it, else -1.

    Words and lists are compared folded in width and simplified, as segmenters compare them (`search_form`).
    """
    tags: dict[str, int] = {}
    for tag, words in enumerate(strata):
        for word in words:
            tags.setdefault(search_form(word), tag)
    return partial(_listed_tag, tags)


def _listed_tag(tags: Mapping[str, int], word: str) -> int:
    return tags.get(search_form(word), UNTAGGED)


def token_texts(tokenizer: Any) -> list[str]:
    """Return the text of every id as it appears in running text, without the mark of WordPiece's inner pieces.

    Args:
        tokenizer: a fast tokenizer
    """
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    mark = getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None) or ""
    return [str(token).removeprefix(mark) for token in tokens]


class TokenSpeller:
    """The text of runs of ids, also where a character is spelled in bytes.

    Args:
        tokens: the text of each token of the vocabulary, as it appears in running text (no "##", no space marks); byte
            tokens as `<0xE4>`
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        of_bytes = {token: bytes([byte]) for byte, token in enumerate(BYTE_TOKENS)}
        self._spelled = [of_bytes[token] if token in of_bytes else token.encode("utf-8", "ignore") for token in tokens]

    def text(self, ids: Iterable[int]) -> str:
        """Return the text of the tokens, blanks included."""
        return b"".join(self._spelled[token] for token in ids).decode("utf-8", "replace")


class WordTagger:
    """Tag every word of a batch by its text; works on rows that are already token ids.

    Args:
        tokens: as in `TokenSpeller`
        tag_of: word -> tag, -1 for none. Called once for each different word.
    """

    def __init__(self, tokens: Sequence[str], tag_of: Callable[[str], int]) -> None:
        self._speller = TokenSpeller(tokens)
        self._tag_of = tag_of
        self._known: dict[tuple[int, ...], int] = {}

    def __call__(self, batch: PackedBatch) -> np.ndarray:
        """Return int16 `[B, L]`: the tag of each token's word, -1 outside words."""
        units = ColumnUnits()(batch, CounterRandom(0, 0, np.zeros(1)))
        flat = batch["input_ids"].reshape(-1)
        tags = [
            self._tag(tuple(flat[start : start + length].tolist()))
            for start, length in zip(units.start.tolist(), units.length.tolist(), strict=True)
        ]
        column = np.full(flat.size, UNTAGGED, dtype=np.int16)
        column[token_offsets(units)] = np.repeat(np.array(tags, dtype=np.int16), units.length)
        return column.reshape(batch["input_ids"].shape)

    def _tag(self, ids: tuple[int, ...]) -> int:
        if ids not in self._known:
            self._known[ids] = self._tag_of(self._speller.text(ids).strip())
        return self._known[ids]


class PhraseTagger:
    """Find phrases or entities that span several words (longest match) and give each occurrence its own id.

    A phrase is found where it begins and ends with a word; `unmatched` names those that were never found. Texts are
    compared as in `lexicon_tagger`.

    Args:
        tokens: as in `TokenSpeller`
        phrases: the phrases' texts, with their blanks
    """

    def __init__(self, tokens: Sequence[str], phrases: Iterable[str]) -> None:
        self._speller = TokenSpeller(tokens)
        self._phrases = {search_form(phrase.strip()): phrase for phrase in phrases}
        self._longest_phrase = max(map(len, self._phrases), default=0)
        self._found: set[str] = set()

    @property
    def unmatched(self) -> list[str]:
        """The phrases that no batch has held so far."""
        return [phrase for form, phrase in self._phrases.items() if form not in self._found]

    def __call__(self, batch: PackedBatch) -> np.ndarray:
        """Return int32 `[B, L]`: equal neighbours are one phrase, -1 elsewhere."""
        units = ColumnUnits()(batch, CounterRandom(0, 0, np.zeros(1)))
        flat: list[int] = batch["input_ids"].reshape(-1).tolist()
        column = np.full(len(flat), UNTAGGED, dtype=np.int32)
        starts, lengths = units.start.tolist(), units.length.tolist()
        words = [self._speller.text(flat[s : s + n]) for s, n in zip(starts, lengths, strict=True)]
        first = 0
        while first < len(words):
            count = self._longest(words, starts, lengths, first)
            if count:
                last = first + count - 1
                column[starts[first] : starts[last] + lengths[last]] = first
            first += max(count, 1)
        return column.reshape(batch["input_ids"].shape)

    def _longest(self, words: list[str], starts: list[int], lengths: list[int], first: int) -> int:
        """Return how many words from `first` on form the longest listed phrase; 0 if none does."""
        found, text, last = 0, "", first
        while last < len(words) and len(text) < self._longest_phrase:
            if last > first and starts[last] != starts[last - 1] + lengths[last - 1]:
                break
            text += words[last] if text else words[last].lstrip()
            if not text:  # a phrase begins with a word, not with the blank before it
                return 0
            last += 1
            if (form := search_form(text)) in self._phrases:
                found = last - first
                self._found.add(form)
        return found


def jieba_tagger() -> Callable[[str], int]:
    """Return a function of a word for `WordTagger`: its number in `UNIVERSAL_TAGS`, from jieba.

    Words are tagged without context, so a word that can be a noun or a verb always has the same tag. A word that jieba
    cuts in pieces has the tag of its last piece, which is the head of a Chinese compound.

    Raises:
        ImportError: If jieba is not installed.
    """
    require_packages("parts of speech", ["jieba"])
    return _jieba_tag


def _jieba_tag(word: str) -> int:
    from jieba import posseg

    pieces = posseg.lcut(word)
    return UNIVERSAL_TAGS.index(universal_tag(pieces[-1].word, pieces[-1].flag)) if pieces else UNTAGGED


def universal_tag(word: str, flag: str) -> str:
    """Return the universal tag of a word that jieba gave `flag`; jieba marks punctuation and unknown words as x."""
    if flag.startswith("x") and word and not any(character.isalnum() for character in word):
        return "PUNCT"
    for size in range(len(flag), 0, -1):
        if flag[:size] in JIEBA_FLAGS:
            return JIEBA_FLAGS[flag[:size]]
    return "X"

"""Word segmenters behind one protocol: the words of a text join to the text again.

Segmenters know simplified script, so each sees the simplified twin of a text, and its cuts are made in the text itself.
"""

import re
from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path
from typing import Protocol, runtime_checkable

from ..runtime.lazy import optional_import
from ..runtime.text_files import read_lines
from .normalization import fold_width, simplify
from .pre_tokenization import HAN, LATIN

SEGMENTER_NAMES = ("rjieba", "jieba", "lexicon", "none")

_KNOWN_TO_JIEBA = re.compile("[\u4e00-\u9fd5]+")
_LATIN_OR_DIGIT = re.compile(f"[{LATIN}0-9]+")
_HAN_RUN_OR_OTHER = re.compile(f"([{HAN}]+)|[0-9A-Za-z]+|\\s+|.", re.DOTALL)


# jieba's own pattern takes any Latin word for a part of speech; the tags of its tag set have at most three letters.
_JIEBA_COLUMNS = re.compile(r"(?P<word>.+?)(?:\s+(?P<frequency>[0-9]+))?(?:\s+(?P<tag>[a-z]{1,3}))?")


@runtime_checkable
class WordSegmenter(Protocol):
    """Anything that cuts text into words whose concatenation is the text."""

    def cut(self, text: str) -> list[str]:
        """Return the words of `text` in order, white space and punctuation included."""
        ...


class LexiconSegmenter:
    """Cut by longest match, left to right, from a list of words; what lies between is another segmenter's.

    A listed word may hold anything: Latin letters, digits, blanks, `·`. Text and list are compared folded and
    simplified (`search_form`). A word that begins or ends with a Latin letter or a digit is not found inside a longer
    one.

    Args:
        words: the list
        rest: cuts what holds no listed word; None: single Han characters, and script runs elsewhere
    """

    def __init__(self, words: Iterable[str], rest: "WordSegmenter | None" = None) -> None:
        self._words = frozenset(search_form(word) for word in words if word.strip())
        lengths: dict[str, set[int]] = {}
        for word in self._words:
            lengths.setdefault(word[0], set()).add(len(word))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}
        self._firsts = re.compile("[" + re.escape("".join(sorted(lengths))) + "]" if lengths else r"(?!)")
        self._rest = rest

    def cut(self, text: str) -> list[str]:
        """Return the words of `text`, the listed ones first."""
        searched, words, done = search_form(text), [], 0
        for match in self._firsts.finditer(searched):
            start = match.start()
            length = self._longest(searched, start) if start >= done else 0
            if length:
                words.extend([*self._between(text[done:start]), text[start : start + length]])
                done = start + length
        return [*words, *self._between(text[done:])]

    def _longest(self, text: str, start: int) -> int:
        """Return the length of the longest listed word at `start`, 0 if none is there."""
        for length in self._lengths[text[start]]:
            end = start + length
            if text[start:end] in self._words and not (_joins(text, start) or _joins(text, end)):
                return length
        return 0

    def _between(self, text: str) -> Iterable[str]:
        if self._rest is not None:
            return self._rest.cut(text) if text else ()
        return (
            piece
            for match in _HAN_RUN_OR_OTHER.finditer(text)
            for piece in (match.group() if match.group(1) else (match.group(),))
        )


def search_form(text: str) -> str:
    """Return `text` as words are looked up, of the same length: folded in width, traditional characters simplified."""
    return simplify(fold_width(text))


def _joins(text: str, place: int) -> bool:
    """Return whether the characters on both sides of `place` belong to one Latin word or number."""
    return 0 < place < len(text) and bool(_LATIN_OR_DIGIT.fullmatch(text, place - 1, place + 1))


def _cut_simplified(cut: Callable[[str], Iterable[str]], text: str) -> list[str]:
    """Return the words of `text` that `cut` finds in its search form."""
    searched = search_form(text)
    words = list(cut(searched))
    if searched == text:
        return words
    return [text[end - len(word) : end] for word, end in zip(words, accumulate(map(len, words)), strict=True)]


class _JiebaSegmenter:
    """The pure-Python jieba with its own dictionary object, so that user words do not leak into other callers."""

    def __init__(self, user_words: Iterable[str]) -> None:
        with optional_import("the segmenter 'jieba'"):
            import jieba
        jieba.setLogLevel("WARNING")
        self._user_words = tuple(user_words)
        self._tokenizer = jieba.Tokenizer()
        for word in self._user_words:
            self._tokenizer.add_word(search_form(word))

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        """Travel to another process as the user's words: jieba's own object holds locks."""
        return type(self), (self._user_words,)

    def cut(self, text: str) -> list[str]:
        """Return the words of `text`, unknown words found by jieba's hidden Markov model."""
        return _cut_simplified(self._tokenizer.cut, text)


class _RustJiebaSegmenter:
    """jieba's algorithm and dictionary in Rust (`rjieba`), about fifty times as fast."""

    USER_WORD_FREQUENCY = 100_000
    """High enough that a user's word wins over its parts. Source: our default."""

    def __init__(self, user_words: Iterable[str]) -> None:
        with optional_import("the segmenter 'rjieba'"):
            import rjieba
        self._user_words = tuple(user_words)
        self._jieba = rjieba.Jieba()
        for word in self._user_words:
            self._jieba.add_word(search_form(word), self.USER_WORD_FREQUENCY, "n")

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        """Travel to another process as the user's words: rjieba's own object cannot."""
        return type(self), (self._user_words,)

    def cut(self, text: str) -> list[str]:
        """Return the words of `text`, unknown words found by the hidden Markov model."""
        return _cut_simplified(self._jieba.cut, text)


_WITH_DICTIONARY = {"rjieba": _RustJiebaSegmenter, "jieba": _JiebaSegmenter}


def _entry(line: str) -> str:
    """Return the word of a line without jieba's columns, a frequency and a part of speech; either may be missing.

    After a Latin letter or a digit one column alone is part of the word, as in `iPhone 15` or `vitamin c`.
    """
    columns = _JIEBA_COLUMNS.fullmatch(line.strip())
    if columns is None:
        return line.strip()
    is_word = bool(columns["frequency"]) != bool(columns["tag"]) and _LATIN_OR_DIGIT.fullmatch(columns["word"][-1])
    return line.strip() if is_word else columns["word"]


def read_user_dictionary(path: str | Path) -> list[str]:
    """Return the words of a dictionary file: one per line, jieba's frequency and part of speech after it left out.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: With file and line, for bytes that are not UTF-8; or if it holds no word.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no user dictionary at {file}; give a UTF-8 text file with one word per line")
    words = [_entry(line) for _, line in read_lines(file) if line.strip()]
    if not words:
        raise ValueError(f"{file} holds no word; give one word per line")
    return words


def load_segmenter(name: str = "rjieba", user_dictionary: str | Path | None = None) -> WordSegmenter:
    """Return the segmenter called `name`.

    Args:
        name: "rjieba" (default), "jieba", "lexicon" (longest match from `user_dictionary` alone) or "none" (every Han
            character is a word)
        user_dictionary: a file with one word per line, added to the segmenter's own words

    Raises:
        ValueError: If the name is unknown, or the dictionary is missing for "lexicon" or given for "none".
        ImportError: If the segmenter's package is not installed.
    """
    if name not in SEGMENTER_NAMES:
        raise ValueError(f"unknown segmenter {name!r}; choose one of {', '.join(SEGMENTER_NAMES)}")
    if name == "lexicon" and user_dictionary is None:
        raise ValueError("the segmenter 'lexicon' needs user_dictionary, a file with one word per line")
    if name == "none" and user_dictionary is not None:
        raise ValueError("the segmenter 'none' takes no user_dictionary; choose 'lexicon' to use one alone")
    words = read_user_dictionary(user_dictionary) if user_dictionary is not None else []
    if name not in _WITH_DICTIONARY:
        return LexiconSegmenter(words)
    # Words with other characters are found ahead of jieba, which parts a text at most of them before it looks words up.
    others = [word for word in words if not _KNOWN_TO_JIEBA.fullmatch(word)]
    segmenter = _WITH_DICTIONARY[name](word for word in words if _KNOWN_TO_JIEBA.fullmatch(word))
    return LexiconSegmenter(others, segmenter) if others else segmenter

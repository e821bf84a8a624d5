"""Word segmenters behind one protocol: the words of a text join to the text again."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

from ..runtime.text_files import read_lines
from .pre_tokenization import HAN

SEGMENTER_NAMES = ("rjieba", "jieba", "lexicon", "none")

_HAN_RUN_OR_OTHER = re.compile(f"([{HAN}]+)|[0-9A-Za-z]+|\\s+|.", re.DOTALL)


@runtime_checkable
class WordSegmenter(Protocol):
    """Anything that cuts text into words whose concatenation is the text."""

    def cut(self, text: str) -> list[str]:
        """Return the words of `text` in order, white space and punctuation included."""
        ...


class LexiconSegmenter:
    """Cut Han runs by longest match, left to right, from a list of words; everything else by script runs."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(word for word in words if len(word) > 1)
        self._longest = max(map(len, self._words), default=1)

    def cut(self, text: str) -> list[str]:
        """Return the words of `text`; a Han character that starts no listed word stands alone."""
        words: list[str] = []
        for match in _HAN_RUN_OR_OTHER.finditer(text):
            words.extend(self._cut_run(match.group()) if match.group(1) else (match.group(),))
        return words

    def _cut_run(self, run: str) -> Iterable[str]:
        start = 0
        while start < len(run):
            length = min(self._longest, len(run) - start)
            while length > 1 and run[start : start + length] not in self._words:
                length -= 1
            yield run[start : start + length]
            start += length


class _JiebaSegmenter:
    """The pure-Python jieba with its own dictionary object, so that user words do not leak into other callers."""

    def __init__(self, user_words: Iterable[str]) -> None:
        try:
            import jieba
        except ImportError as error:
            raise ImportError(_missing_package("jieba")) from error
        jieba.setLogLevel("WARNING")
        self._user_words = tuple(user_words)
        self._tokenizer = jieba.Tokenizer()
        for word in self._user_words:
            self._tokenizer.add_word(word)

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        """Travel to another process as the user's words: jieba's own object holds locks."""
        return type(self), (self._user_words,)

    def cut(self, text: str) -> list[str]:
        """Return the words of `text`, unknown words found by jieba's hidden Markov model."""
        return list(self._tokenizer.cut(text))


class _RustJiebaSegmenter:
    """jieba's algorithm and dictionary in Rust (`rjieba`), about fifty times as fast."""

    USER_WORD_FREQUENCY = 100_000
    """High enough that a user's word wins over its parts. Source: our default."""

    def __init__(self, user_words: Iterable[str]) -> None:
        try:
            import rjieba
        except ImportError as error:
            raise ImportError(_missing_package("rjieba")) from error
        self._user_words = tuple(user_words)
        self._jieba = rjieba.Jieba()
        for word in self._user_words:
            self._jieba.add_word(word, self.USER_WORD_FREQUENCY, "n")

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        """Travel to another process as the user's words: rjieba's own object cannot."""
        return type(self), (self._user_words,)

    def cut(self, text: str) -> list[str]:
        """Return the words of `text`, unknown words found by the hidden Markov model."""
        return self._jieba.cut(text)


def _missing_package(name: str) -> str:
    return f"the segmenter {name!r} needs the package {name}: pip install 'chinese-modernbert[segment]'"


def read_user_dictionary(path: str | Path) -> list[str]:
    """Return the words of a dictionary file: one per line, anything after the first blank ignored (jieba's format).

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: With file and line, for bytes that are not UTF-8; or if it holds no word.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no user dictionary at {file}; give a UTF-8 text file with one word per line")
    words = [line.split()[0] for _, line in read_lines(file) if line.strip()]
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
    if name == "rjieba":
        return _RustJiebaSegmenter(words)
    return _JiebaSegmenter(words) if name == "jieba" else LexiconSegmenter(words)

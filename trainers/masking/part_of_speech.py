"""Parts of speech as tags: the 17 universal ones, and a tagger of words from jieba's dictionary."""

from collections.abc import Callable

# Source: Universal Dependencies version 2, in alphabetical order; a tag's number is its place.
UNIVERSAL_TAGS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM",
    "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X",
)  # fmt: skip

# jieba's flags (the ICTCLAS set), the longest prefix that is listed here wins.
# Source: the ICTCLAS tag set; the mapping is ours, coarse where a flag covers several universal tags.
JIEBA_FLAGS = {
    "a": "ADJ", "ad": "ADV", "an": "NOUN", "b": "ADJ", "c": "CCONJ", "d": "ADV", "e": "INTJ", "eng": "X",
    "f": "NOUN", "g": "NOUN", "h": "X", "i": "VERB", "j": "NOUN", "k": "X", "l": "VERB", "m": "NUM",
    "n": "NOUN", "nr": "PROPN", "ns": "PROPN", "nt": "PROPN", "nz": "PROPN", "o": "INTJ", "p": "ADP", "q": "NOUN",
    "r": "PRON", "s": "NOUN", "t": "NOUN", "u": "PART", "v": "VERB", "vn": "NOUN", "w": "PUNCT", "x": "X",
    "y": "PART", "z": "ADJ", "zg": "ADV",
}  # fmt: skip


def jieba_tagger() -> Callable[[str], int]:
    """Return a function of a word for `WordTagger`: its number in `UNIVERSAL_TAGS`, from jieba.

    The word is tagged alone, so one that is a noun here and a verb there has always the same tag. A word that jieba
    cuts in pieces has the tag of its last piece, which is the head of a Chinese compound.

    Raises:
        ImportError: jieba is not installed.
    """
    try:
        from jieba import posseg
    except ImportError as error:
        raise ImportError("parts of speech need jieba: pip install chinese-modernbert[segment]") from error

    def tag_of(word: str) -> int:
        pieces = posseg.lcut(word)
        return UNIVERSAL_TAGS.index(universal_tag(pieces[-1].word, pieces[-1].flag)) if pieces else -1

    return tag_of


def universal_tag(word: str, flag: str) -> str:
    """Return the universal tag of a word that jieba gave `flag`; jieba marks punctuation and the unknown alike (x)."""
    if flag.startswith("x") and word and not any(character.isalnum() for character in word):
        return "PUNCT"
    for size in range(len(flag), 0, -1):
        if flag[:size] in JIEBA_FLAGS:
            return JIEBA_FLAGS[flag[:size]]
    return "X"

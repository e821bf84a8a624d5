"""Exact match and F1 of extracted answers, by the rules of the official CMRC 2018 script.

Source: Cui et al. 2019, arXiv 1810.07366, evaluation script v5. Written anew. One thing differs: that script cuts runs
without Chinese characters with NLTK, this one at spaces and punctuation.
"""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

# The characters that the official script removes. Its list holds the ellipsis as two characters and compares it with
# single ones, so that it never is removed; neither is it here.
PUNCTUATION = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_SEGMENT = re.compile(r"[\u4e00-\u9fa5]|[^\W\u4e00-\u9fa5]+(?:[.,'][^\W\u4e00-\u9fa5]+)*|[^\w\s]")


def without_punctuation(text: str) -> str:
    """Return the text in lower case, without white space at its ends and without `PUNCTUATION`."""
    return "".join(character for character in text.lower().strip() if character not in PUNCTUATION)


def mixed_segments(text: str) -> list[str]:
    """Cut a text without punctuation into Chinese characters, words and signs."""
    return _SEGMENT.findall(without_punctuation(text))


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """Return 1.0 where the prediction equals an answer but for punctuation and case, else 0.0."""
    return float(any(without_punctuation(prediction) == without_punctuation(answer) for answer in answers))


def answer_f1(prediction: str, answers: Sequence[str]) -> float:
    """Return the best F1 over the answers, from the longest run of segments that prediction and answer share."""
    return max((_f1(mixed_segments(prediction), mixed_segments(answer)) for answer in answers), default=0.0)


def _f1(predicted: list[str], expected: list[str]) -> float:
    matcher = SequenceMatcher(None, predicted, expected, autojunk=False)
    shared = matcher.find_longest_match(0, len(predicted), 0, len(expected)).size
    return 2 * shared / (len(predicted) + len(expected)) if shared else 0.0

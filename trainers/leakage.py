"""Texts of the training data that occur in an evaluation set, exactly or nearly."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..runtime.minhash import PERMUTATIONS, character_ngrams, load_rensa, minhash_signatures
from ..tokenization.normalization import fold_width

logger = logging.getLogger(__name__)

# Sentences are short, so their n-grams are too. Source: our default.
SENTENCE_NGRAM_CHARACTERS = 2


@dataclass
class LeakageReport:
    """What was found.

    Attributes:
        texts: training texts that leak
        counts: training set -> evaluation set -> kind ("exact" or "near") -> texts
    """

    texts: set[str] = field(default_factory=set)
    counts: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)

    def add(self, text: str, training: str, evaluation: str, kind: str) -> None:
        """Note one leaking text."""
        self.texts.add(text)
        kinds = self.counts.setdefault(training, {}).setdefault(evaluation, {})
        kinds[kind] = kinds.get(kind, 0) + 1

    def summary(self) -> str:
        """Return one line that names the sets and how many texts they share."""
        parts = [
            f"{training} and {evaluation} share {', '.join(f'{count} {kind}' for kind, count in kinds.items())}"
            for training, found in self.counts.items()
            for evaluation, kinds in found.items()
        ]
        return "; ".join(parts) or "no text is shared"


def find_leaks(
    training: Mapping[str, Iterable[str]], evaluation: Mapping[str, Iterable[str]], similarity: float = 0.9
) -> LeakageReport:
    """Find training texts that an evaluation set holds, exactly or nearly.

    Texts are compared after width folding, without white space and punctuation. Nearly the same are two texts whose
    sets of character pairs have a Jaccard index of `similarity` or more; candidates come from MinHash, the index that
    decides is exact.

    Args:
        training: texts by set
        evaluation: texts by set
        similarity: above 0 up to 1; 1 looks for equal texts alone

    Returns:
        The report; a text that several evaluation sets hold counts for each.

    Raises:
        ImportError: Without rensa, where `similarity` is below 1.
    """
    report, held_out = LeakageReport(), HeldOutTexts(evaluation, similarity)
    for name, texts in training.items():
        for text in texts:
            for other, kind in held_out.holders(text):
                report.add(text, name, other, kind)
    return report


class HeldOutTexts:
    """The texts of evaluation sets, to look any number of training texts up in; see `find_leaks`.

    Args:
        evaluation: texts by set
        similarity: above 0 up to 1; 1 looks for equal texts alone

    Raises:
        ImportError: Without rensa, where `similarity` is below 1.
    """

    def __init__(self, evaluation: Mapping[str, Iterable[str]], similarity: float = 0.9) -> None:
        self._sets: dict[str, set[str]] = {}
        for name, texts in evaluation.items():
            for text in texts:
                self._sets.setdefault(comparable(text), set()).add(name)
        self._sets.pop("", None)
        self._near = _NearTexts(list(self._sets), similarity) if similarity < 1 and self._sets else None

    def holders(self, text: str) -> list[tuple[str, str]]:
        """Return the sets that hold a text, in the order of names, each with "exact" or "near"."""
        key = comparable(text)
        if key in self._sets:
            return [(name, "exact") for name in sorted(self._sets[key])]
        if self._near is None or not key:
            return []
        return [(name, "near") for name in sorted({name for one in self._near.of(key) for name in self._sets[one]})]


def comparable(text: str) -> str:
    """Return letters and digits of `text` in lower case, width folded."""
    return "".join(letter for letter in fold_width(text).lower() if letter.isalnum())


class _NearTexts:
    """An index of texts that finds those with nearly the same character pairs."""

    def __init__(self, texts: list[str], similarity: float) -> None:
        self.texts, self.similarity = texts, similarity
        self.grams = [character_pairs(text) for text in texts]
        # 32 bands of 4: a pair at 0.8 is a candidate with a chance of 1 - (1 - 0.8^4)^32 > 0.9999.
        self._index = load_rensa().RMinHashLSH(similarity, PERMUTATIONS, 32)
        for number, signature in enumerate(minhash_signatures(self.grams)):
            self._index.insert(number, signature)

    def of(self, text: str) -> list[str]:
        """Return the texts that are nearly the same as `text`."""
        grams = character_pairs(text)
        found = self._index.query(minhash_signatures([grams])[0])
        return [self.texts[i] for i in found if jaccard(self.grams[i], grams) >= self.similarity]


def character_pairs(text: str) -> frozenset[str]:
    """Return the pairs of neighboring characters; a text of one character is its own only one."""
    return frozenset(character_ngrams(text, SENTENCE_NGRAM_CHARACTERS))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """Return shared over all elements of two sets that are not empty."""
    return len(first & second) / len(first | second)

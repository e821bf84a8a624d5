"""Scores of spelling correction, at the level of sentences and of characters.

With S the sentence as written, T its correction and P what the system makes of it, all of one length:

- A sentence *has errors* where S != T, is *changed* where S != P.
- Sentence level, detection: right where S != T and P differs from S at exactly the positions where T does; correction:
  right where S != T and P == T. Precision is right / changed, recall is right / with errors, both over sentences.
- Character level: the same over positions; detection is right where S != T and S != P, correction where P == T as well.
  Precision is over all changed positions of all sentences, those of clean sentences among them (older tables take the
  precision of correction over the detected errors alone), recall over all errors.
- F1 is 2 right / (changed + with errors), which is 2 P R / (P + R). All are 0 where nothing is counted.
- The false-positive rate is the share of clean sentences (S == T) that are changed.

Source: the evaluation in the repository of ReLM (arXiv 2308.08796) counts sentence-level correction and the
false-positive rate in this way. No character is left out, the particles of SIGHAN 2013 neither, which some papers skip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COLUMNS = (
    "with_errors",
    "changed",
    "detected",
    "corrected",
    "clean_changed",
    "errors",
    "changes",
    "errors_changed",
    "errors_corrected",
)
"""What is counted in a sentence: five times whether it is so, then positions."""


@dataclass(frozen=True)
class Counts:
    """What precision, recall and F1 are ratios of.

    Attributes:
        right: sentences or positions that are right
        changed: those that the system changed
        errors: those with errors
    """

    right: int
    changed: int
    errors: int

    @property
    def precision(self) -> float:
        """Right over changed; 0 where nothing was changed."""
        return self.right / max(self.changed, 1)

    @property
    def recall(self) -> float:
        """Right over those with errors; 0 where there are none."""
        return self.right / max(self.errors, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of the two."""
        return 2 * self.right / max(self.changed + self.errors, 1)


@dataclass(frozen=True)
class SpellingScores:
    """All scores of a system on one set; the definitions are those of the module.

    Attributes:
        detection, correction: at the level of sentences
        character_detection, character_correction: at the level of characters
        sentences: all sentences
        clean: sentences without errors
        clean_changed: those of them that were changed
    """

    detection: Counts
    correction: Counts
    character_detection: Counts
    character_correction: Counts
    sentences: int
    clean: int
    clean_changed: int

    @property
    def false_positive_rate(self) -> float:
        """Clean sentences that were changed, as a share of all clean ones; 0 where there are none."""
        return self.clean_changed / max(self.clean, 1)


def spelling_scores(sources: Sequence[str], targets: Sequence[str], predictions: Sequence[str]) -> SpellingScores:
    """Score predictions; the definitions are those of the module.

    Args:
        sources: sentences as written
        targets: their corrections
        predictions: what the system makes of the sources

    Raises:
        ValueError: See `count_sentences`.
    """
    counts = count_sentences(sources, targets, predictions)
    sums = dict(zip(COLUMNS, counts.sum(axis=0).tolist(), strict=True))
    sentences = sums["changed"], sums["with_errors"]
    characters = sums["changes"], sums["errors"]
    return SpellingScores(
        Counts(sums["detected"], *sentences),
        Counts(sums["corrected"], *sentences),
        Counts(sums["errors_changed"], *characters),
        Counts(sums["errors_corrected"], *characters),
        sentences=len(counts),
        clean=len(counts) - sums["with_errors"],
        clean_changed=sums["clean_changed"],
    )


def count_sentences(sources: Sequence[str], targets: Sequence[str], predictions: Sequence[str]) -> np.ndarray:
    """Return what each sentence adds to the scores, int64 `[sentences, len(COLUMNS)]`.

    Args:
        sources: sentences as written
        targets: their corrections
        predictions: what the system makes of the sources

    Raises:
        ValueError: If the three are not of one number, or a sentence is not of one length in all of them.
    """
    if not len(sources) == len(targets) == len(predictions):
        numbers = f"{len(sources)} sources, {len(targets)} targets, {len(predictions)} predictions"
        raise ValueError(f"{numbers} cannot be compared; give one of each for a sentence")
    rows = [_count(number, *row) for number, row in enumerate(zip(sources, targets, predictions, strict=True), start=1)]
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(COLUMNS))


def _count(number: int, source: str, target: str, prediction: str) -> tuple[int, ...]:
    """Return the numbers of `COLUMNS` for one sentence."""
    if not len(source) == len(target) == len(prediction):
        lengths = f"{len(source)}, {len(target)} and {len(prediction)} characters as source, target and prediction"
        raise ValueError(f"sentence {number} has {lengths}; only equal lengths can be compared")
    errors = {place for place, pair in enumerate(zip(source, target, strict=True)) if pair[0] != pair[1]}
    changes = {place for place, pair in enumerate(zip(source, prediction, strict=True)) if pair[0] != pair[1]}
    both = errors & changes
    return (
        bool(errors),
        bool(changes),
        bool(errors) and errors == changes,
        bool(errors) and prediction == target,
        bool(changes) and not errors,
        len(errors),
        len(changes),
        len(both),
        sum(prediction[place] == target[place] for place in both),
    )


def correction_rows(counts: np.ndarray) -> np.ndarray:
    """Return float `[sentences, 2]`, what each adds to numerator and denominator of the F1 of sentence correction.

    `evaluation.clue.significance.compare` takes such rows of two systems.

    Args:
        counts: of `count_sentences`
    """
    corrected, changed, errors = (counts[:, COLUMNS.index(name)] for name in ("corrected", "changed", "with_errors"))
    return np.stack([2.0 * corrected, changed + errors], axis=1)

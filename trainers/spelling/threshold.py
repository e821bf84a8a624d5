"""The threshold of a corrector, fitted so that clean sentences stay as they are.

A corrector that is trained on errors finds some everywhere. So the threshold is chosen on sentences of which many are
clean: that of the best F1 of sentence correction, among those at which no more of the clean ones are changed than the
user allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...evaluation.spelling import SpellingPair
from ...evaluation.spelling.metrics import Counts
from ...modeling.spelling_chinese_modernbert import SpellingEdit


@dataclass(frozen=True)
class ThresholdPoint:
    """What a threshold gives on a set.

    Attributes:
        threshold: edits of a greater probability are made
        false_positive_rate: clean sentences that are changed, as a share of the clean ones
        precision, recall, f1: of sentence correction
    """

    threshold: float
    false_positive_rate: float
    precision: float
    recall: float
    f1: float


@dataclass
class _Sentence:
    """A sentence while the threshold falls: which edits it must have, which it has so far, and whether all fit."""

    needed: int
    made: int = 0
    fitting: int = 0

    @property
    def is_right(self) -> bool:
        return self.made > 0 and self.made == self.fitting == self.needed


def threshold_curve(pairs: Sequence[SpellingPair], edits: Sequence[Sequence[SpellingEdit]]) -> list[ThresholdPoint]:
    """Return the scores at every threshold that makes a difference, from 1, where nothing is changed, down.

    Args:
        pairs: sentences with their corrections
        edits: for each, everything that is likelier than what is written, see `find_edits`
    """
    sentences = [_Sentence(sum(a != b for a, b in zip(*pair, strict=True))) for pair in pairs]
    rows = [(edit, number) for number, found in enumerate(edits) for edit in found]
    rows.sort(key=lambda row: -row[0].probability)
    with_errors = sum(one.needed > 0 for one in sentences)
    clean = len(sentences) - with_errors
    changed = right = clean_changed = 0
    curve = [ThresholdPoint(1.0, 0.0, 0.0, 0.0, 0.0)]
    for place, (edit, number) in enumerate(rows):
        one = sentences[number]
        changed += one.made == 0
        clean_changed += one.made == 0 and one.needed == 0
        right -= one.is_right
        one.made += 1
        one.fitting += pairs[number].target[edit.offset] == edit.target
        right += one.is_right
        following = rows[place + 1][0].probability if place + 1 < len(rows) else 0.0
        if following < edit.probability:  # equal ones are made together
            counts = Counts(right, changed, with_errors)
            curve.append(
                ThresholdPoint(
                    (edit.probability + following) / 2,
                    clean_changed / max(clean, 1),
                    counts.precision,
                    counts.recall,
                    counts.f1,
                )
            )
    return curve


def fit_threshold(curve: Sequence[ThresholdPoint], false_positive_rate: float) -> ThresholdPoint:
    """Return the point of the best F1 that changes no more of the clean sentences; of equal ones the highest."""
    return max((one for one in curve if one.false_positive_rate <= false_positive_rate), key=lambda one: one.f1)

"""The curve of thresholds against scores that are counted anew at each, and the point that is chosen."""

from __future__ import annotations

import random

import pytest

from chinese_modernbert.evaluation.spelling import SpellingPair, spelling_scores
from chinese_modernbert.modeling.spelling_chinese_modernbert import SpellingEdit
from chinese_modernbert.trainers.spelling import ThresholdPoint, fit_threshold, threshold_curve


def drawn(seed: int) -> tuple[list[SpellingPair], list[list[SpellingEdit]]]:
    """Draw sentences, half of them clean, and edits that are often right, with equal probabilities among them."""
    rng = random.Random(seed)
    pairs, edits = [], []
    for _ in range(40):
        source = "".join(rng.choices("甲乙丙丁", k=6))
        places = rng.sample(range(6), rng.choice((0, 0, 1, 2)))
        target = "".join(rng.choice("戊己") if i in places else one for i, one in enumerate(source))
        found = []
        for place in sorted({*rng.sample(range(6), rng.choice((0, 1, 2))), *(places if rng.random() < 0.7 else ())}):
            new = target[place] if rng.random() < 0.7 and place in places else "庚"
            found.append(SpellingEdit(place, source[place], new, round(rng.random(), 1) or 0.05))
        pairs.append(SpellingPair(source, target))
        edits.append(found)
    return pairs, edits


def corrected(source: str, edits: list[SpellingEdit], threshold: float) -> str:
    new = {edit.offset: edit.target for edit in edits if edit.probability > threshold}
    return "".join(new.get(i, one) for i, one in enumerate(source))


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_is_that_of_scores_counted_at_every_threshold(seed: int) -> None:
    pairs, edits = drawn(seed)
    curve = threshold_curve(pairs, edits)
    assert len(curve) == 1 + len({edit.probability for found in edits for edit in found})
    for point in curve:
        predictions = [corrected(pair.source, found, point.threshold) for pair, found in zip(pairs, edits, strict=True)]
        scores = spelling_scores([pair.source for pair in pairs], [pair.target for pair in pairs], predictions)
        expected = (scores.correction.precision, scores.correction.recall, scores.correction.f1)
        assert (point.precision, point.recall, point.f1) == pytest.approx(expected)
        assert point.false_positive_rate == pytest.approx(scores.false_positive_rate)


@pytest.mark.parametrize("allowed", [0.0, 0.1, 0.3, 1.0])
def test_the_chosen_point_is_the_best_that_changes_no_more_clean_sentences(allowed: float) -> None:
    curve = threshold_curve(*drawn(7))
    point = fit_threshold(curve, allowed)
    assert point.false_positive_rate <= allowed
    others = [one for one in curve if one.false_positive_rate <= allowed]
    assert point.f1 == max(one.f1 for one in others)
    assert point.threshold == max(one.threshold for one in others if one.f1 == point.f1)


def test_where_nothing_may_be_changed_nothing_is() -> None:
    pair = SpellingPair("甲", "甲")
    curve = threshold_curve([pair], [[SpellingEdit(0, "甲", "乙", 1.0)]])
    assert fit_threshold(curve, 0.5) == ThresholdPoint(1.0, 0.0, 0.0, 0.0, 0.0)

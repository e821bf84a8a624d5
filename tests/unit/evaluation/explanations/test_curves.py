"""Curves and areas against a bag of words and numpy; a random order's curve against its expectation."""

from collections.abc import Callable

import numpy as np
import pytest

from chinese_modernbert.evaluation.explanations.curves import GRID, measure_curves, summarize
from chinese_modernbert.evaluation.explanations.importance import leave_one_out, random_weights
from reference.bag_of_words import Bag


def test_curves_of_a_sum_are_sums_of_known_parts(bag: Callable[..., Bag]) -> None:
    made = bag("regression", 1)
    weights = leave_one_out(made.texts)
    for number, found in enumerate(measure_curves(made.texts, weights)):
        parts = made.known(number)[:, 0]
        order = np.argsort(-np.abs(parts), kind="stable")
        steps = sorted({round(share * len(parts)) for share in GRID})
        assert found.shares.tolist() == [step / len(parts) for step in steps]
        np.testing.assert_allclose(found.deletion, [abs(parts[order[:k]].sum()) for k in steps], atol=1e-5)
        np.testing.assert_allclose(found.sufficiency, [abs(parts[order[k:]].sum()) for k in steps], atol=1e-5)


def test_areas_are_those_of_trapezoids(bag: Callable[..., Bag]) -> None:
    made = bag("classification", 3)
    for one in measure_curves(made.texts, leave_one_out(made.texts)):
        for area, curve in (
            (one.comprehensiveness_area, one.deletion),
            (one.sufficiency_area, one.sufficiency),
        ):
            slow = sum(
                (one.shares[i + 1] - one.shares[i]) * (curve[i] + curve[i + 1]) / 2 for i in range(len(curve) - 1)
            )
            assert area == pytest.approx(slow) == pytest.approx(np.trapezoid(curve, one.shares))


def test_both_curves_begin_and_end_at_the_whole_text_and_at_none_of_it(bag: Callable[..., Bag]) -> None:
    for one in measure_curves((made := bag("classification", 3)).texts, leave_one_out(made.texts)):
        assert one.deletion[0] == one.sufficiency[-1] == 0
        assert one.deletion[-1] == one.sufficiency[0]


def test_the_curve_of_random_orders_is_its_expectation(bag: Callable[..., Bag]) -> None:
    """Of a sum of positive parts a share of the words costs that share of the whole."""
    made = bag("regression", 1)
    made.texts._score = lambda rows: np.array([[sum(i != 4 for i in row["input_ids"])] for row in rows])  # words left
    made.texts._known.clear()
    made.texts.whole = made.texts.logits([(n, np.zeros(len(u), dtype=bool)) for n, u in enumerate(made.texts.units)])
    draws = [measure_curves(made.texts, random_weights(made.texts, 0, draw)) for draw in range(600)]
    for number, several in enumerate(zip(*draws, strict=True)):
        total = several[0].deletion[-1]
        for name, expected in (("deletion", several[0].shares), ("sufficiency", 1 - several[0].shares)):
            mean = np.mean([getattr(one, name) for one in several], axis=0)
            np.testing.assert_allclose(mean / total, expected, atol=0.03, err_msg=f"{number} {name}")


def test_gains_are_paired_by_text_and_better_is_positive(bag: Callable[..., Bag]) -> None:
    made = bag("classification", 2)
    chosen = [[one] for one in measure_curves(made.texts, leave_one_out(made.texts))]
    draws = (measure_curves(made.texts, random_weights(made.texts, 0, draw)) for draw in range(7))
    random = list(zip(*draws, strict=True))
    found = summarize(chosen, random)
    for name, sign in (("comprehensiveness", 1), ("sufficiency", -1)):
        areas = [[getattr(one, f"{name}_area") for one in several] for several in random]
        wanted = np.mean(
            [sign * (getattr(one[0], f"{name}_area") - np.mean(a)) for one, a in zip(chosen, areas, strict=True)]
        )
        assert found.gains[name].value == pytest.approx(wanted)
        assert found.gains[name].value > 0
    assert summarize(random).gains == {}
    own = summarize(chosen, chosen)
    assert own.gains["sufficiency"].low == own.gains["sufficiency"].high == 0


def test_a_text_without_words_is_named(bag: Callable[..., Bag]) -> None:
    made = bag("classification", 2, ["甲", ""])
    with pytest.raises(ValueError, match="text 1 has 0 words and 0 weights"):
        measure_curves(made.texts, leave_one_out(made.texts))

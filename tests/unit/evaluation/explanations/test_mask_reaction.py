"""A model that knows masks answers an empty text as labels are spread; the distance is measured by hand here."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from chinese_modernbert.evaluation.explanations.mask_reaction import MaskReaction, measure_mask_reaction
from reference.bag_of_words import TEXTS, Bag

LABELS = [0, 0, 1, 0, 1]


def reaction(made: Bag, labels: Sequence[object], outputs: int) -> MaskReaction:
    half = [np.arange(len(units)) % 2 == 0 for units in made.texts.units]
    return measure_mask_reaction(made.texts, half, labels, outputs)


def test_an_answer_without_words_is_compared_with_the_spread_of_labels(bag: Callable[..., Bag]) -> None:
    made = bag("classification", 2)  # without words every logit is 0, so both classes have one half
    found = reaction(made, LABELS, 2)
    assert found.distance == pytest.approx(0.1) and not found.is_strong
    assert found.most_frequent == pytest.approx(0.6)
    assert found.accuracy["whole"] == np.mean(made.texts.targets == LABELS)
    assert found.accuracy["none"] == np.mean(np.array(LABELS) == 0)
    assert "knows masked texts (distance 0.10; right: " in found.sentence()


def test_a_model_that_takes_a_mask_for_a_word_is_named(bag: Callable[..., Bag]) -> None:
    made = bag("classification", 2)
    made.model.table.weight.data[4] = made.model.table.weight.new_tensor([9.0, -9.0])  # [MASK]
    made.texts._known.clear()
    found = reaction(made, LABELS, 2)
    assert found.distance == pytest.approx(0.4, abs=1e-3) and found.is_strong
    assert found.sentence().startswith("The model reacts to the mask itself (distance 0.40; right: ")
    assert "masked_fine_tuning" in found.sentence()


def test_without_right_labels_the_models_own_answers_are_the_spread(bag: Callable[..., Bag]) -> None:
    made = bag("classification", 2)
    found = reaction(made, [None] * len(TEXTS), 2)
    whole = np.exp(made.texts.whole) / np.exp(made.texts.whole).sum(axis=1, keepdims=True)
    assert found.distance == pytest.approx(abs(whole.mean(axis=0)[0] - 0.5), abs=1e-6)
    assert found.accuracy == {} and "right" not in found.sentence()


def test_the_spread_is_that_of_all_rows_at_hand(bag: Callable[..., Bag]) -> None:
    made = bag("classification", 2)
    half = [np.zeros(len(units), dtype=bool) for units in made.texts.units]
    found = measure_mask_reaction(made.texts, half, LABELS, 2, [1, 1, 0, None, 1, 1])
    assert found.spread.tolist() == [0.2, 0.8] and found.most_frequent == pytest.approx(0.8)
    assert found.distance == pytest.approx(0.3)


def test_several_labels_and_numbers_have_distances_too(bag: Callable[..., Bag]) -> None:
    several = reaction(bag("multi_label", 2), [(0,), (0, 1), (), (1,), (0,)], 2)
    assert several.distance == pytest.approx((abs(0.6 - 0.5) + abs(0.4 - 0.5)) / 2)
    number = reaction(bag("regression", 1), [1.0, 2.0, 3.0, 4.0, 5.0], 1)
    assert number.distance == pytest.approx(3 / np.std([1, 2, 3, 4, 5]))

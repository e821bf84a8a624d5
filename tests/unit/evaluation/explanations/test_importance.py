"""Weights against a bag of words, where the importance of every word is known."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax

from chinese_modernbert.evaluation.explanations.curves import measure_curves
from chinese_modernbert.evaluation.explanations.importance import (
    gradient_times_input,
    leave_one_out,
    random_weights,
    search,
)
from reference.bag_of_words import TEXTS, Bag


def test_leave_one_out_of_a_sum_is_each_words_own_part(bag: Callable[..., Bag]) -> None:
    made = bag("regression", 1)
    for number, weights in enumerate(leave_one_out(made.texts)):
        np.testing.assert_allclose(weights, made.known(number)[:, 0], atol=1e-5)


def test_gradient_times_input_of_a_sum_is_each_words_own_part(bag: Callable[..., Bag]) -> None:
    """[MASK] weighs nothing in this model, so that a linear model's gradient says the same as leaving out."""
    made = bag("regression", 1)
    for number, weights in enumerate(gradient_times_input(made.texts, made.model, made.rows, made.collate, 2)):
        np.testing.assert_allclose(weights, made.known(number)[:, 0], atol=1e-5)


def test_of_two_classes_the_words_are_in_the_order_of_their_difference(bag: Callable[..., Bag]) -> None:
    made = bag("classification", 2)
    gradients = gradient_times_input(made.texts, made.model, made.rows, made.collate)
    for number, weights in enumerate(leave_one_out(made.texts)):
        own = made.known(number)
        target = int(log_softmax(own.sum(axis=0)).argmax())
        wanted = np.argsort(-(own[:, target] - own[:, 1 - target]))
        assert weights.argsort()[::-1].tolist() == wanted.tolist()
        assert gradients[number].argsort()[::-1].tolist() == wanted.tolist()


def test_a_given_label_is_explained_instead_of_the_predicted_one(bag: Callable[..., Bag]) -> None:
    first, second = (leave_one_out(bag("classification", 2, target=target).texts) for target in (0, 1))
    for one, other in zip(first, second, strict=True):
        assert (np.sign(one) == -np.sign(other)).all()


def area(made: Bag, weights: list[np.ndarray]) -> np.ndarray:
    return np.array([one.comprehensiveness_area - one.sufficiency_area for one in measure_curves(made.texts, weights)])


def test_a_search_wide_enough_finds_the_best_of_all_orders(bag: Callable[..., Bag]) -> None:
    """Of up to five words: with more, the curves skip steps that the search counts."""
    made = bag("classification", 3, ["辛庚慢丁", "庚慢丙辛", "甲乙丙好坏", "庚"])
    found = search(made.texts, beams=1_000)
    best = area(made, found)
    for number, units in enumerate(made.texts.units):
        every = []
        for order in permutations(range(len(units))):
            weights = [np.zeros(len(own)) for own in made.texts.units]
            weights[number][list(order)] = -np.arange(len(units))
            every.append(area(made, weights)[number])
        assert best[number] == pytest.approx(max(every), abs=1e-6)


def test_beams_find_what_greedy_steps_miss(bag: Callable[..., Bag]) -> None:
    """Where every set of masked words has a value of its own, the best order need not begin with the best word."""
    made = bag("regression", 1, ["甲丙丁己", "庚辛慢好"])
    values = np.random.default_rng(0).normal(size=(2, 16))
    known = [row["input_ids"] for row in made.rows]

    def score(rows: list[Any]) -> np.ndarray:
        found = []
        for row in rows:
            number = next(n for n, ids in enumerate(known) if {*row["input_ids"]} <= {*ids, 4} and len({*ids} - {4}))
            bits = [one == 4 for one in row["input_ids"][1:-1]]
            found.append([values[number, int(np.dot(bits, [1, 2, 4, 8]))]])
        return np.array(found)

    made.texts._score = score  # type: ignore[method-assign]
    made.texts._known.clear()
    made.texts.whole = made.texts.logits([(number, np.zeros(4, dtype=bool)) for number in range(2)])
    greedy, wide = (area(made, search(made.texts, beams)) for beams in (1, 1_000))
    assert (wide >= greedy - 1e-9).all() and (wide > greedy + 1e-3).any()


def test_searched_orders_are_not_worse_than_leaving_out_and_words_behind_the_steps_follow_it(
    bag: Callable[..., Bag],
) -> None:
    made = bag("classification", 3)
    alone = leave_one_out(made.texts)
    assert area(made, search(made.texts, beams=3)).sum() >= area(made, alone).sum() - 1e-9
    for own, ranks in zip(alone, search(made.texts, steps=0), strict=True):
        assert np.argsort(-ranks).tolist() == made.texts.order(own).tolist()


def test_random_orders_repeat_by_seed_and_favour_no_word(bag: Callable[..., Bag]) -> None:
    made = bag("classification", 3)
    same = [random_weights(made.texts, 3, 1) for _ in range(2)]
    assert all((one == other).all() for one, other in zip(*same, strict=True))
    assert not all((one == other).all() for one, other in zip(same[0], random_weights(made.texts, 4, 1), strict=True))
    draws = np.array([random_weights(made.texts, 0, draw)[0].argsort().argsort() for draw in range(3_000)])
    assert np.abs(draws.mean(axis=0) - (len(draws[0]) - 1) / 2).max() < 0.15
    assert len(TEXTS) == len(random_weights(made.texts, 0))

"""Masked rows against a slow twin that asks the model one row at a time."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from scipy.special import softmax

from reference.bag_of_words import TEXTS, Bag

MASK = 4


def alone(bag: Bag, number: int, masked: np.ndarray) -> np.ndarray:
    """Return the logits of one masked row, asked for by itself."""
    ids = list(bag.rows[number]["input_ids"])
    for unit, is_masked in zip(bag.texts.units[number], masked, strict=True):
        for position in unit.positions:
            ids[position] = MASK if is_masked else ids[position]
    batch = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
    with torch.no_grad():
        return bag.model(**batch).logits[0].double().numpy()


def requests(bag: Bag) -> list[tuple[int, np.ndarray]]:
    found = []
    for number, units in enumerate(bag.texts.units):
        several = list(product([False, True], repeat=len(units)))[:: 1 if len(units) < 5 else 7]
        found += [(number, np.array(one)) for one in several]
    return found[::-1]


def test_rows_of_all_texts_at_once_are_those_one_at_a_time(bag: Callable[..., Bag]) -> None:
    made = bag("classification", 3, [*TEXTS, "辛", "快"])  # several texts of one word
    asked = requests(made)
    found = made.texts.logits(asked)
    np.testing.assert_allclose(found, [alone(made, *one) for one in asked], atol=1e-5)


def test_a_row_runs_once(bag: Callable[..., Bag]) -> None:
    made = bag("classification", 3)
    asked = requests(made)
    distinct = {(number, masked.tobytes()) for number, masked in asked} | {
        (number, np.zeros(len(units), dtype=bool).tobytes()) for number, units in enumerate(made.texts.units)
    }
    made.texts.logits(asked + asked)
    made.texts.logits(asked)
    assert sum(made.batches) == made.texts.rows_run == len(distinct)
    assert len(made.batches) == 2  # the texts as they are, then everything else in one go


def test_what_is_lost_is_probability_of_the_label_that_the_whole_text_has(bag: Callable[..., Bag]) -> None:
    made = bag("classification", 3)
    asked = requests(made)
    wanted = []
    for number, masked in asked:
        whole = softmax(alone(made, number, np.zeros(len(masked), dtype=bool)))
        wanted.append(whole.max() - softmax(alone(made, number, masked))[whole.argmax()])
    np.testing.assert_allclose(made.texts.lost(asked), wanted, atol=1e-6)


def test_of_several_labels_each_is_taken_by_itself_and_a_number_moves_either_way(bag: Callable[..., Bag]) -> None:
    several, number = bag("multi_label", 3, target=1), bag("regression", 1)
    asked = requests(several)
    zeros = [np.zeros(len(masked), dtype=bool) for _, masked in asked]
    wanted = [
        1 / (1 + np.exp(-alone(several, n, z)[1])) - 1 / (1 + np.exp(-alone(several, n, masked)[1]))
        for (n, masked), z in zip(asked, zeros, strict=True)
    ]
    np.testing.assert_allclose(several.texts.lost(asked), wanted, atol=1e-6)
    moved = [alone(number, n, z)[0] - alone(number, n, masked)[0] for (n, masked), z in zip(asked, zeros, strict=True)]
    np.testing.assert_allclose(number.texts.lost(asked), np.abs(moved), atol=1e-5)
    np.testing.assert_allclose(number.texts.weight(asked), moved, atol=1e-5)


@pytest.mark.parametrize(("kind", "expected"), [("classification", [2, 0, 1]), ("regression", [1, 2, 0])])
def test_of_a_number_the_words_that_move_it_most_come_first(
    kind: str, expected: list[int], bag: Callable[..., Bag]
) -> None:
    texts = bag(kind, 1 if kind == "regression" else 2, TEXTS).texts
    assert texts.order(np.array([0.1, -0.9, 0.5])).tolist() == expected

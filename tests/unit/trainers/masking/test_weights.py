"""Weights shift the chance of masking and leave the total alone; samplers meet their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chinese_modernbert.trainers.masking import (
    ColumnUnits,
    ColumnWeights,
    Masker,
    MaskVocabulary,
    PackedBatch,
    Replace,
    TableWeights,
    TagWeights,
    TokenUnits,
)
from chinese_modernbert.trainers.masking.samplers import inclusion_probabilities
from chinese_modernbert.trainers.masking.units import unit_table

REPLACE = Replace(MaskVocabulary(20, 4))


def alternating(rows: int = 400, length: int = 500) -> PackedBatch:
    ids = np.tile(np.array([5, 6]), (rows, length // 2))
    return PackedBatch(
        input_ids=ids,
        word_ids=np.tile(np.arange(length), (rows, 1)),
        tags={"pos": np.where(ids == 5, 0, -1).astype(np.int16)},
        scores={"weight": np.where(ids == 5, 3.0, 1.0).astype(np.float32)},
    )


def table(**values: float) -> TableWeights:
    weights = np.ones(20)
    for name, value in values.items():
        weights[int(name[1:])] = value
    return TableWeights(weights)


@pytest.mark.parametrize("weights", [table(t5=3.0), TagWeights("pos", np.array([3.0])), ColumnWeights("weight")])
def test_three_to_one_weights_give_the_known_rates_of_sampling_without_replacement(weights: TableWeights) -> None:
    batch = alternating()
    selected = Masker(TokenUnits(), 0.15, REPLACE, weights=weights)(batch, 0.0)["selected"]
    heavy, light = (selected[batch["input_ids"] == token].mean() for token in (5, 6))
    # Exponential race: the share left after "time" t is exp(-w t); solve exp(-3t) + exp(-t) = 2 * 0.85.
    roots = np.roots([1, 0, 1, -1.7])
    survive = float(roots[np.abs(roots.imag) < 1e-9].real[0])
    np.testing.assert_allclose([heavy, light], [1 - survive**3, 1 - survive], atol=0.004)
    assert abs(selected.mean() - 0.15) < 0.001


def test_weights_multiply() -> None:
    batch = alternating(2, 4)
    product = table(t5=2.0) * ColumnWeights("weight") * TagWeights("pos", np.array([5.0]), untagged=0.5)
    np.testing.assert_allclose(product(batch)[0], [30.0, 0.5, 30.0, 0.5])


@pytest.mark.parametrize(("reduce", "expected"), [("mean", 2.0), ("max", 3.0), ("sum", 4.0)])
def test_a_words_weight_is_the_chosen_summary_of_its_tokens(reduce: str, expected: float) -> None:
    batch = PackedBatch(input_ids=np.array([[5, 6, 6, 7]]), word_ids=np.array([[0, 0, 1, -1]]))
    masker = Masker(ColumnUnits(), 0.5, REPLACE, weights=table(t5=3.0), reduce=reduce)  # type: ignore[arg-type]
    units = masker.units(batch, None)  # type: ignore[arg-type]
    np.testing.assert_allclose(masker._unit_weights(batch, units), [expected, 1.0])


def test_absolute_probabilities_ignore_the_rate() -> None:
    batch = alternating()
    masker = Masker(TokenUnits(), 0.9, REPLACE, weights=table(t5=0.25, t6=0.05), sampler="absolute")
    selected = masker(batch, 0.0)["selected"]
    for token, rate in ((5, 0.25), (6, 0.05)):
        assert abs(selected[batch["input_ids"] == token].mean() - rate) < 0.004


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 9)), min_size=1, max_size=30),
    st.floats(0, 1.5),
)
def test_water_filling_meets_the_budget_and_keeps_proportions(units: list[tuple[float, int]], share: float) -> None:
    weights, lengths = (np.array(column) for column in zip(*units, strict=True))
    weights = np.where(weights < 1e-6, 0.0, weights.astype(float))
    share = 0.0 if share < 1e-9 else share  # a budget so small that its parts lose digits proves nothing
    unit_rows = unit_table(np.cumsum(lengths) - lengths, lengths, int(lengths.sum()))
    eligible = float(lengths[weights > 0].sum())
    budget = share * eligible
    probability = inclusion_probabilities(unit_rows, weights, np.array([budget]))
    assert (probability >= 0).all() and (probability <= 1).all() and not probability[weights == 0].any()
    np.testing.assert_allclose((probability * lengths).sum(), min(budget, eligible), rtol=1e-6, atol=1e-9)
    inside = (probability > 0) & (probability < 1)
    if inside.any():
        ratio = probability[inside] / weights[inside]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)
        assert (ratio[0] * weights[probability == 1] >= 1 - 1e-6).all()


def test_a_table_smaller_than_the_vocabulary_and_missing_columns_are_named() -> None:
    batch = alternating(1, 4)
    with pytest.raises(ValueError, match="token id 6"):
        TableWeights(np.ones(6))(batch)
    with pytest.raises(ValueError, match="'ner'"):
        TagWeights("ner", np.ones(2))(batch)
    with pytest.raises(ValueError, match="'pmi'"):
        ColumnWeights("pmi")(batch)
    batch["tags"] = {"pos": np.full((1, 4), 3)}
    with pytest.raises(ValueError, match="the table has 2"):
        TagWeights("pos", np.ones(2))(batch)


@pytest.mark.parametrize("bad", [np.array([-1.0]), np.array([np.nan]), np.ones((2, 2)), np.array([])])
def test_impossible_tables_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        TableWeights(bad)

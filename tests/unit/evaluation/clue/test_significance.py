import numpy as np
import pytest
from scipy.stats import bootstrap, permutation_test

from chinese_modernbert.evaluation.clue.significance import compare


def rows(right: np.ndarray) -> np.ndarray:
    return np.stack([right.astype(float), np.ones(len(right))], axis=1)


def two_models(gap: float, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    first = rng.random(count) < 0.7 + gap
    second = np.where(rng.random(count) < 0.8, first, rng.random(count) < 0.7)
    return first, second


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.15])
def test_the_p_value_and_interval_are_scipys(gap: float) -> None:
    first, second = two_models(gap)
    found = compare(rows(first), rows(second))
    difference = first.astype(float) - second.astype(float)
    theirs = permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=10_000, rng=np.random.default_rng(1)
    )
    assert found.difference == pytest.approx(100 * difference.mean())
    assert found.p_value == pytest.approx(theirs.pvalue, abs=0.02)
    interval = bootstrap((difference,), np.mean, method="percentile", rng=np.random.default_rng(2)).confidence_interval
    assert (found.low, found.high) == pytest.approx((100 * interval.low, 100 * interval.high), abs=0.5)


def test_equal_models_do_not_differ() -> None:
    first, _ = two_models(0.1)
    found = compare(rows(first), rows(first))
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_a_ratio_of_sums_is_compared_and_not_the_mean_of_ratios() -> None:
    first = np.array([[2.0, 2.0], [0.0, 8.0]])
    second = np.array([[0.0, 2.0], [8.0, 8.0]])
    assert compare(first, second).difference == pytest.approx(100 * (2 / 10 - 8 / 10))


def test_other_rows_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        compare(np.ones((3, 2)), np.ones((4, 2)))

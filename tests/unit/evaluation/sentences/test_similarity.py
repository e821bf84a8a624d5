"""Correlations against scipy and scikit-learn, their ceiling, intervals that cover, and figures of a space by hand."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import roc_auc_score

from chinese_modernbert.evaluation.sentences.similarity import (
    compare_similarity,
    measure_space,
    pair_cosines,
    score_similarity,
    spearman_ceiling,
)


def noisy(seed: int, noise: float, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    gold = random.integers(0, 6, n) / 5
    return gold, gold + noise * random.normal(size=n)


def test_figures_are_those_of_scipy_and_scikit_learn() -> None:
    gold, cosines = noisy(0, 0.5)
    found = score_similarity(gold, cosines, resamples=20)
    assert found["pearson"].value == pytest.approx(pearsonr(gold, cosines).statistic)
    assert found["spearman"].value == pytest.approx(spearmanr(gold, cosines).statistic)
    assert "auc" not in found
    binary = (gold > 0.5).astype(float)
    assert score_similarity(binary, cosines, 20)["auc"].value == pytest.approx(roc_auc_score(binary, cosines))


def test_an_interval_covers_the_figure_of_new_pairs_about_as_often_as_it_says() -> None:
    gold, cosines = noisy(0, 0.5, 200_000)
    truth = spearmanr(gold, cosines).statistic
    covered = 0
    for seed in range(40):
        estimate = score_similarity(*noisy(seed + 1, 0.5, 200), resamples=200)["spearman"]
        covered += estimate.low <= truth <= estimate.high
    assert covered >= 34  # of 40; 38 are expected


def test_a_better_model_gains_beyond_the_interval_and_the_same_model_does_not() -> None:
    gold, good = noisy(0, 0.3)
    _, bad = noisy(0, 1.5)
    gain = compare_similarity(gold, good, bad, resamples=200)
    assert gain.low > 0 and gain.value == pytest.approx(
        spearmanr(gold, good).statistic - spearmanr(gold, bad).statistic
    )
    none = compare_similarity(gold, good, good, resamples=50)
    assert none.value == none.low == none.high == 0


def test_binary_gold_caps_spearman_where_the_formula_says() -> None:
    ones = 4616
    gold = np.array([1.0] * ones + [0.0] * (10_000 - ones))
    assert spearman_ceiling(gold) == pytest.approx(np.sqrt(3 * 0.4616 * (1 - 0.4616)), abs=1e-4)
    perfect = gold + np.linspace(0, 0.1, len(gold))
    assert spearmanr(gold, perfect).statistic == pytest.approx(spearman_ceiling(gold), abs=1e-6)


def test_the_figures_of_a_space_are_those_of_the_plain_loops() -> None:
    random = np.random.default_rng(0)
    vectors, moved = random.normal(size=(12, 4)) + 1, random.normal(size=(12, 4))
    found = measure_space(vectors, (vectors, moved))
    unit, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (vectors, moved))
    pairs = [(i, j) for i in range(12) for j in range(i)]
    assert found.anisotropy == pytest.approx(np.mean([unit[i] @ unit[j] for i, j in pairs]))
    distances = [np.exp(-2 * np.sum((unit[i] - unit[j]) ** 2)) for i, j in pairs]
    assert found.uniformity == pytest.approx(np.log(np.mean(distances)))
    assert found.alignment == pytest.approx(np.mean([np.sum((a - b) ** 2) for a, b in zip(unit, other, strict=True)]))
    assert 0 < found.first_component < 1


def test_a_single_direction_is_fully_anisotropic() -> None:
    same = np.ones((5, 3)) * np.arange(1, 6)[:, None]
    assert measure_space(same + 1e-9 * np.eye(5, 3), (same, same)).anisotropy == pytest.approx(1)
    assert pair_cosines(same, -same) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("gold", "cosines", "message"),
    [
        ([1.0, 0.0], [1.0], "not pairs"),
        ([1.0, 0.0], [np.nan, 0.0], "not finite"),
        ([1.0, 1.0], [0.1, 0.2], "gold of 2 pairs are all equal"),
        ([1.0, 0.0], [0.2, 0.2], "cosines of 2 pairs are all equal"),
    ],
)
def test_what_gives_no_correlation_is_refused(gold: list[float], cosines: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_similarity(np.array(gold), np.array(cosines))

"""Schedules at their knots, and the presets' published test vectors."""

import math

import numpy as np
import pytest

from chinese_modernbert.runtime.counter_random import CounterRandom
from chinese_modernbert.trainers.masking import Cosine, MaskVocabulary, Piecewise, UniformRate, chinese_modernbert

DRAW = CounterRandom(0, 0, np.arange(1000))
ROWS, FIRST = np.arange(1000), np.zeros(1000, dtype=np.int64)


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.15), (25, 0.225), (50, 0.30), (525, 0.225), (1000, 0.15), (1500, 0.15)]
)
def test_the_papers_curriculum_at_1000_steps(step: int, rate: float) -> None:
    masker = chinese_modernbert(MaskVocabulary(10, 4), warmup_share=0.05)
    assert masker.target_rate(step / 1000) == pytest.approx(rate, abs=1e-12)


def test_a_curriculum_without_warm_up_starts_at_the_peak() -> None:
    assert chinese_modernbert(MaskVocabulary(10, 4), warmup_share=0).target_rate(0) == pytest.approx(0.30)


def test_every_group_gets_the_scheduled_rate() -> None:
    for rate in (Piecewise([(0, 0.3), (1, 0.15)]), Cosine(0.15, 0.02)):
        np.testing.assert_allclose(rate(0.25, ROWS, FIRST, DRAW), rate.expected(0.25))


@pytest.mark.parametrize(("progress", "rate"), [(-0.1, 0.32), (0, 0.32), (0.5, 0.17), (1, 0.02), (2, 0.02)])
def test_ratio_decay_falls_from_32_to_2_percent(progress: float, rate: float) -> None:
    assert Cosine(0.15, 0.02).expected(progress) == pytest.approx(rate)


def test_ratio_decay_follows_the_cosine() -> None:
    assert Cosine(0.1, 0.05).expected(0.3) == pytest.approx(0.1 * (1 + math.cos(0.3 * math.pi)) + 0.05)


def test_uniform_rates_spread_over_their_range() -> None:
    rates = UniformRate(0.2, 0.6)(0.0, ROWS, FIRST, DRAW)
    assert 0.2 <= rates.min() < 0.21 and 0.59 < rates.max() <= 0.6
    zeros = UniformRate(0.2, 0.6, zero_probability=0.5)
    assert abs((zeros(0.0, ROWS, FIRST, DRAW) == 0).mean() - 0.5) < 0.05
    assert zeros.expected(0.0) == pytest.approx(0.2)


def test_only_schedules_that_ignore_progress_are_constant() -> None:
    assert Piecewise([(0, 0.2)]).is_constant and Piecewise([(0, 0.2), (1, 0.2)]).is_constant
    assert UniformRate().is_constant and Cosine(0.0, 0.2).is_constant
    assert not Piecewise([(0, 0.2), (1, 0.1)]).is_constant and not Cosine().is_constant


@pytest.mark.parametrize("points", [[], [(0, 0.1), (0, 0.2)], [(0.5, 0.1), (0.2, 0.2)], [(0, 1.5)], [(-1, 0.5)]])
def test_impossible_knots_are_refused(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError):
        Piecewise(points)


def test_impossible_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="2 \\* mean \\+ floor"):
        Cosine(0.5, 0.1)
    with pytest.raises(ValueError, match="above high"):
        UniformRate(0.5, 0.1)

"""Paired tests of two models on the same rows: approximate randomization and a paired bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 10_000
_CHUNK = 500


@dataclass(frozen=True)
class PairedComparison:
    """How two models differ on the same rows.

    Attributes:
        difference: first minus second, in percent
        low, high: 95 % interval of the difference from the paired bootstrap
        p_value: two-sided, from approximate randomization (never under 1 / (draws + 1))
    """

    difference: float
    low: float
    high: float
    p_value: float


def compare(first: np.ndarray, second: np.ndarray, draws: int = DRAWS, seed: int = 0) -> PairedComparison:
    """Compare two models.

    Args:
        first: float `[rows, 2]`, numerator and denominator that each row adds to the first model's score, means over
            its runs (`scores.example_scores`)
        second: the same of the second model, rows in the same order
        draws: random draws of either test
        seed: seed of the draws

    Raises:
        ValueError: If the two were not scored on the same number of rows, or there are none.
    """
    if first.shape != second.shape or first.ndim != 2 or not len(first):
        raise ValueError(
            f"rows of shape {first.shape} and {second.shape} cannot be paired; score both on the same rows"
        )
    rng = np.random.default_rng(seed)
    rows, half = len(first), (first + second) / 2
    lean = (first - second) / 2
    observed = _ratio(first.sum(axis=0)) - _ratio(second.sum(axis=0))
    extreme, resampled = 0, []
    for start in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - start)
        signs = rng.integers(0, 2, (size, rows)) * 2.0 - 1.0
        swapped = signs @ lean
        differences = _ratio(half.sum(axis=0) + swapped) - _ratio(half.sum(axis=0) - swapped)
        extreme += int((np.abs(differences) >= abs(observed) - 1e-12).sum())
        weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=size).astype(np.float64)
        resampled.append(_ratio(weights @ first) - _ratio(weights @ second))
    low, high = np.quantile(np.concatenate(resampled), [0.025, 0.975])
    p_value = (extreme + 1) / (draws + 1)
    return PairedComparison(float(100 * observed), float(100 * low), float(100 * high), p_value)


def _ratio(sums: np.ndarray) -> np.ndarray:
    """Return numerator over denominator of sums `(..., 2)`; 0 where nothing was counted."""
    return sums[..., 0] / np.maximum(sums[..., 1], 1e-12)

"""A value with its bootstrap interval, as every report of this room prints it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
RESAMPLES = 1_000


@dataclass(frozen=True)
class Estimate:
    """A value with the bounds of its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"

    @property
    def signed(self) -> str:
        """The same with signs, as a gain is printed."""
        return f"{self.value:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


def mean_gain(gains: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Return the mean of paired differences, float `[Q]`, with the interval of the bootstrap over them."""
    drawn = np.random.default_rng(seed).multinomial(len(gains), np.full(len(gains), 1 / len(gains)), resamples)
    return Estimate(float(gains.mean()), *bounds(drawn @ gains / len(gains)))


def bounds(samples: np.ndarray) -> tuple[float, float]:
    """Return the two ends of the middle 95 % of bootstrap samples; a sample without variance (NaN) is left out."""
    low, high = np.nanquantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)

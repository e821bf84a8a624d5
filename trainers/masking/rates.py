"""How much is masked: a share of the maskable tokens as a function of training progress, or drawn per document."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import Protocol

import numpy as np

from ...runtime.counter_random import CounterRandom


class Rate(Protocol):
    """Anything that gives the share of the tokens to mask."""

    @property
    def is_constant(self) -> bool:
        """True when progress does not matter."""
        ...

    def expected(self, progress: float) -> float:
        """Return the mean rate at `progress` (0 = first step, 1 = end of training)."""
        ...

    def __call__(
        self, progress: float, rows: np.ndarray, first_positions: np.ndarray, random: CounterRandom
    ) -> np.ndarray:
        """Return float64 `[G]`, one rate for each budget group, identified by its row and its first position."""
        ...


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value} is not a share; give a number from 0 to 1")


@dataclass(frozen=True)
class Piecewise:
    """Straight lines between knots; constant before the first and after the last.

    Source: Chinese ModernBERT, (0, .15), (warm-up, .30), (1, .15); Dynamic Masking Rate Schedules
    (arXiv 2305.15096), (0, .30), (1, .15).

    Attributes:
        points: (progress, rate) pairs, progress rising
    """

    points: Sequence[tuple[float, float]]

    def __post_init__(self) -> None:
        times = [time for time, _ in self.points]
        if not times or any(later <= earlier for earlier, later in zip(times, times[1:], strict=False)):
            raise ValueError(f"rate points {list(self.points)} need at least one knot, with progress rising")
        for time, rate in self.points:
            _check_share("progress", time)
            _check_share("rate", rate)

    @property
    def is_constant(self) -> bool:
        """True when all knots have one rate."""
        return len({rate for _, rate in self.points}) == 1

    def expected(self, progress: float) -> float:
        """Return the rate at `progress`."""
        times, rates = zip(*self.points, strict=True)
        return float(np.interp(progress, times, rates))

    def __call__(
        self, progress: float, rows: np.ndarray, first_positions: np.ndarray, random: CounterRandom
    ) -> np.ndarray:
        """Return the same rate for every group."""
        return np.full(rows.size, self.expected(progress))


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from `2 * mean + floor` down to `floor`.

    Source: Masking Ratio Decay, `p * (1 + cos(pi * t / T)) + 0.02`, p = 0.15 (released code of arXiv 2208.10806).

    Attributes:
        mean: p in the formula
        floor: the rate at the end
    """

    mean: float = 0.15
    floor: float = 0.02

    def __post_init__(self) -> None:
        _check_share("mean", self.mean)
        _check_share("floor", self.floor)
        _check_share("2 * mean + floor", 2 * self.mean + self.floor)

    @property
    def is_constant(self) -> bool:
        """True when the rate does not decay."""
        return self.mean == 0

    def expected(self, progress: float) -> float:
        """Return the rate at `progress`, which is clipped to 0 to 1."""
        return self.mean * (1 + cos(pi * min(max(progress, 0.0), 1.0))) + self.floor

    def __call__(
        self, progress: float, rows: np.ndarray, first_positions: np.ndarray, random: CounterRandom
    ) -> np.ndarray:
        """Return the same rate for every group."""
        return np.full(rows.size, self.expected(progress))


@dataclass(frozen=True)
class UniformRate:
    """A rate drawn for every budget group; use `budget="document"` to draw it per document.

    Source: u-PMLM (arXiv 2004.11579) draws it from 0 to 1; Faithfulness Measurable Masked Language Models
    (arXiv 2310.07819) leaves half of the texts unmasked.

    Attributes:
        low: smallest rate
        high: largest rate
        zero_probability: chance that the group is not masked at all
    """

    low: float = 0.0
    high: float = 1.0
    zero_probability: float = 0.0

    def __post_init__(self) -> None:
        for name in ("low", "high", "zero_probability"):
            _check_share(name, getattr(self, name))
        if self.low > self.high:
            raise ValueError(f"low={self.low} is above high={self.high}; swap them")

    @property
    def is_constant(self) -> bool:
        """True: progress does not matter."""
        return True

    def expected(self, progress: float) -> float:
        """Return the mean over many groups."""
        return (1 - self.zero_probability) * (self.low + self.high) / 2

    def __call__(
        self, progress: float, rows: np.ndarray, first_positions: np.ndarray, random: CounterRandom
    ) -> np.ndarray:
        """Return one drawn rate for each group."""
        rates = self.low + (self.high - self.low) * random("rate", rows, first_positions)
        if self.zero_probability:
            rates[random("rate_is_zero", rows, first_positions) < self.zero_probability] = 0.0
        return rates

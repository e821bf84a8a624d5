"""Are explanations faithful? Words are masked in the order of their weights, and what that costs is measured.

Deletion masks the most important words first: the faster the decision is lost, the better, and the area under the curve
(comprehensiveness) is large. Sufficiency leaves only the most important words: the faster the decision is back, the
better, and the area is small. Source: ERASER (arXiv 1911.03429); areas over all shares of words instead of some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..clue.significance import compare
from ..estimates import RESAMPLES, Estimate, bounds
from .masked_texts import MaskedTexts, Request

STEPS = 10
"""Shares of words at which a curve is measured, beside 0. Source: arXiv 2310.07819, steps of 10 %."""
GRID = np.linspace(0, 1, STEPS + 1)


@dataclass(frozen=True)
class Curves:
    """The two curves of one text.

    Attributes:
        shares: float64 `[points]`, shares of the words that count as important, from 0 to 1
        deletion: float64 `[points]`, what is lost when those are masked
        sufficiency: float64 `[points]`, what is lost when all others are masked
    """

    shares: NDArray[np.float64]
    deletion: NDArray[np.float64]
    sufficiency: NDArray[np.float64]

    @property
    def comprehensiveness_area(self) -> float:
        """Area under `deletion`; more is better."""
        return float(np.trapezoid(self.deletion, self.shares))

    @property
    def sufficiency_area(self) -> float:
        """Area under `sufficiency`; less is better."""
        return float(np.trapezoid(self.sufficiency, self.shares))


def measure_curves(texts: MaskedTexts, weights: Sequence[np.ndarray]) -> list[Curves]:
    """Return the curves of every text; each needs a word at least.

    Args:
        texts: the texts
        weights: a weight for every word of each

    Raises:
        ValueError: If a text has no words, or another number of weights.
    """
    requests: list[Request] = []
    counts: list[NDArray[np.int64]] = []
    for number, (own, units) in enumerate(zip(weights, texts.units, strict=True)):
        if not units or len(own) != len(units):
            raise ValueError(f"text {number} has {len(units)} words and {len(own)} weights; expected as many, and one")
        rank = np.empty(len(own), dtype=np.int64)
        rank[texts.order(own)] = np.arange(len(own))
        counts.append(np.unique(np.round(GRID * len(own)).astype(np.int64)))
        requests += [(number, rank < count) for count in counts[-1]]
    deleted = texts.lost(requests)
    kept = texts.lost([(number, ~masked) for number, masked in requests])
    bounds_of = np.cumsum([len(own) for own in counts])[:-1]
    return [
        Curves(own / own[-1], *pair)
        for own, *pair in zip(counts, np.split(deleted, bounds_of), np.split(kept, bounds_of), strict=True)
    ]


@dataclass(frozen=True)
class Faithfulness:
    """How faithful one method is over all texts.

    Attributes:
        comprehensiveness, sufficiency: mean areas, with the bootstrap interval over texts
        gains: `comprehensiveness` and `sufficiency`: how much better than random, paired by text; empty for random
        deletion_curve, sufficiency_curve: float64 `[STEPS + 1]`, means at the shares of `GRID`
    """

    comprehensiveness: Estimate
    sufficiency: Estimate
    gains: dict[str, Estimate]
    deletion_curve: NDArray[np.float64]
    sufficiency_curve: NDArray[np.float64]


def summarize(found: Sequence[Sequence[Curves]], baseline: Sequence[Sequence[Curves]] | None = None) -> Faithfulness:
    """Return means and intervals over texts.

    Args:
        found: for each text its curves, one or several (draws of a random order), which count as their mean
        baseline: the same of random orders; None: nothing is compared
    """
    own = _areas(found)
    gains = {}
    if baseline is not None:
        other = _areas(baseline)
        gains = {
            "comprehensiveness": _gain(own[0], other[0]),
            "sufficiency": _gain(other[1], own[1]),  # less is better
        }
    comprehensiveness, sufficiency = (_estimate(values) for values in own)
    deletion, kept = (
        np.mean([np.interp(GRID, one.shares, getattr(one, name)) for several in found for one in several], axis=0)
        for name in ("deletion", "sufficiency")
    )
    return Faithfulness(comprehensiveness, sufficiency, gains, deletion, kept)


def _areas(found: Sequence[Sequence[Curves]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the two areas of each text, float64 `[texts]`, means over its curves."""
    several = [[(one.comprehensiveness_area, one.sufficiency_area) for one in curves] for curves in found]
    means = np.array([np.mean(areas, axis=0) for areas in several])
    return means[:, 0], means[:, 1]


def _gain(better: np.ndarray, worse: np.ndarray) -> Estimate:
    """Return the mean difference with the interval of the paired bootstrap."""
    ones = np.ones(len(better))
    found = compare(np.column_stack([better, ones]), np.column_stack([worse, ones]))
    return Estimate(found.difference / 100, found.low / 100, found.high / 100)


def _estimate(values: np.ndarray) -> Estimate:
    """Return a mean with its bootstrap interval."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    return Estimate(float(values.mean()), *bounds(means))

"""How well cosines follow given similarities, with intervals, and how a space of sentence vectors is filled.

Binary labels cap the rank correlation: with a share q of ones Spearman cannot pass sqrt(3q(1 - q)), so the area under
the curve, which has no such cap, is always given with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from ..estimates import RESAMPLES, Estimate, bounds


def score_similarity(
    gold: np.ndarray, cosines: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Estimate]:
    """Return Pearson, Spearman and, for binary gold, the area under the ROC curve, with 95 % bootstrap intervals.

    Args:
        gold: float `[N]`, the given similarities
        cosines: float `[N]`, similarities of the model
        resamples: bootstrap samples of pairs. Our default: 1,000.
        seed: seed of the samples

    Raises:
        ValueError: If the lengths differ, a number is not finite, or gold or cosines are constant.
    """
    check_scores(gold, cosines)
    measures = {"pearson": _pearson, "spearman": _spearman}
    if len(np.unique(gold)) == 2:
        measures["auc"] = _auc
    samples = {name: np.empty(resamples) for name in measures}
    random = np.random.default_rng(seed)
    for number in range(resamples):
        chosen = random.integers(len(gold), size=len(gold))
        for name, measure in measures.items():
            samples[name][number] = measure(gold[chosen], cosines[chosen])
    return {name: Estimate(float(measure(gold, cosines)), *bounds(samples[name])) for name, measure in measures.items()}


def compare_similarity(
    gold: np.ndarray, cosines: np.ndarray, baseline: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Return the gain in Spearman of `cosines` over `baseline` on the same pairs, with its paired bootstrap interval.

    The gain is beyond chance where the interval leaves 0 out.
    """
    check_scores(gold, cosines)
    check_scores(gold, baseline)
    random = np.random.default_rng(seed)
    gains = np.empty(resamples)
    for number in range(resamples):
        chosen = random.integers(len(gold), size=len(gold))
        gains[number] = _spearman(gold[chosen], cosines[chosen]) - _spearman(gold[chosen], baseline[chosen])
    return Estimate(float(_spearman(gold, cosines) - _spearman(gold, baseline)), *bounds(gains))


def spearman_ceiling(gold: np.ndarray) -> float:
    """Return the highest Spearman that any score without ties can reach on this gold.

    Source: arithmetic. Gold with ties loses variance of its ranks; for a share q of ones it is sqrt(3q(1 - q)).
    """
    ranks = rankdata(gold)
    return float(math.sqrt(12 * ranks.var() / (len(gold) ** 2 - 1)))


def check_scores(gold: np.ndarray, cosines: np.ndarray) -> None:
    """Refuse what gives no correlation.

    Raises:
        ValueError: If the lengths differ, a number is not finite, or one side is constant.
    """
    if gold.shape != cosines.shape or gold.ndim != 1:
        raise ValueError(f"gold of shape {gold.shape} and cosines of shape {cosines.shape} are not pairs of numbers")
    if not np.isfinite(gold).all() or not np.isfinite(cosines).all():
        raise ValueError("a similarity is not finite; look for an embedding that is NaN")
    for name, values in (("gold", gold), ("cosines", cosines)):
        if len(values) < 2 or np.ptp(values) == 0:
            raise ValueError(f"the {name} of {len(values)} pairs are all equal: there is nothing to correlate")


@dataclass(frozen=True)
class SpaceMetrics:
    """How a space of sentence vectors is filled.

    Attributes:
        anisotropy: mean cosine of two random texts; 0 is even, 1 is a single direction.
            Source: Ethayarajh 2019 (arXiv 1909.00512).
        uniformity: log of the mean of exp(-2 d^2) over random texts, lower is more even.
            Source: Wang and Isola 2020 (arXiv 2005.10242), t = 2.
        alignment: mean d^2 of positive pairs, lower is closer. Same source, alpha = 2.
        spectrum: share of the variance on each principal component, largest first; a steep fall means that few
            directions carry the texts
    """

    anisotropy: float
    uniformity: float
    alignment: float
    spectrum: Sequence[float]

    @property
    def first_component(self) -> float:
        """Share of the variance on the first principal component."""
        return self.spectrum[0]


def measure_space(vectors: np.ndarray, positives: tuple[np.ndarray, np.ndarray]) -> SpaceMetrics:
    """Measure a space.

    Args:
        vectors: float `[N, D]` of distinct texts, N >= 2; scaled to length 1 here
        positives: two float `[P, D]`, vectors of texts that mean the same, row by row

    Returns:
        The measures over all pairs of distinct rows (N of a few thousand).
    """
    unit = _unit(vectors)
    cosines = (unit @ unit.T)[np.triu_indices(len(unit), k=1)]
    left, right = (_unit(side) for side in positives)
    centered = unit - unit.mean(axis=0)
    variances = np.linalg.svd(centered, compute_uv=False) ** 2
    return SpaceMetrics(
        anisotropy=float(cosines.mean()),
        uniformity=float(np.log(np.exp(-2 * (2 - 2 * cosines)).mean())),
        alignment=float(((left - right) ** 2).sum(axis=1).mean()),
        spectrum=(variances / variances.sum()).round(8).tolist(),
    )


def pair_cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine of each row of `first` with the same row of `second`, float64 `[N]`."""
    return (_unit(first) * _unit(second)).sum(axis=1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)


def _pearson(gold: np.ndarray, cosines: np.ndarray) -> float:
    return float(np.corrcoef(gold, cosines)[0, 1]) if np.ptp(gold) and np.ptp(cosines) else math.nan


def _spearman(gold: np.ndarray, cosines: np.ndarray) -> float:
    return _pearson(rankdata(gold), rankdata(cosines))


def _auc(gold: np.ndarray, cosines: np.ndarray) -> float:
    return float(roc_auc_score(gold == gold.max(), cosines)) if np.ptp(gold) else math.nan

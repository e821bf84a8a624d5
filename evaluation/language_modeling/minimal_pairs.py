"""Minimal pairs: two sentences that differ in one point of grammar, of which a model should prefer the good one.

Nothing is trained. A pair counts where the good sentence has the higher score, not where they are equal. Paradigms have
the same weight in every mean. Source: BLiMP (arXiv 1912.00582); ZhoBLiMP and its scores: arXiv 2411.06096.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...tokenization.documents import checked_field, read_json_rows
from ..estimates import RESAMPLES, Estimate, bounds

SCORES: dict[str, Callable[[np.ndarray], float]] = {
    "sum": lambda tokens: float(tokens.sum()),
    "mean": lambda tokens: float(tokens.sum() / max(len(tokens), 1)),
    "slln": lambda tokens: float(tokens.sum() / max(len(tokens), 1) ** 0.5),
}
"""Scores of a sentence from the log-probabilities of its tokens. `slln`, SLLN-LP, divides by the root of the length."""

FIELDS = ("UID", "phenomenon", "sentence_good", "sentence_bad")


@dataclass(frozen=True)
class MinimalPair:
    """A pair: what it tests (`paradigm`, of a `phenomenon`) and its two sentences."""

    paradigm: str
    phenomenon: str
    good: str
    bad: str


@dataclass(frozen=True)
class PairScores:
    """Shares of pairs that are right, by one score.

    Attributes:
        overall: mean over the paradigms
        phenomena: mean over the paradigms of each phenomenon
        paradigms: share of each paradigm
    """

    overall: Estimate
    phenomena: dict[str, Estimate]
    paradigms: dict[str, Estimate]


def read_pairs(path: str | Path, limit: int | None = None) -> list[MinimalPair]:
    """Read pairs from JSON lines (plain, `.gz` or `.zst`) with the fields of `FIELDS`.

    Args:
        path: the file
        limit: most pairs of a paradigm, the first ones; None: all

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: With file and line, for a missing field, equal sentences, a paradigm of two phenomena, or no pair.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no minimal pairs at {file}; give JSON lines with {', '.join(FIELDS)}")
    pairs: list[MinimalPair] = []
    phenomena: dict[str, str] = {}
    counts: dict[str, int] = {}
    for location, row in read_json_rows(file):
        pair = MinimalPair(*(checked_field(row, field, location) for field in FIELDS))
        if not pair.good.strip() or not pair.bad.strip() or pair.good == pair.bad:
            raise ValueError(f"{location} has an empty sentence or two equal ones; a pair needs two that differ")
        if phenomena.setdefault(pair.paradigm, pair.phenomenon) != pair.phenomenon:
            known = phenomena[pair.paradigm]
            raise ValueError(f"{location} counts {pair.paradigm} to {pair.phenomenon}, an earlier line to {known}")
        counts[pair.paradigm] = counts.get(pair.paradigm, 0) + 1
        if limit is None or counts[pair.paradigm] <= limit:
            pairs.append(pair)
    if not pairs:
        raise ValueError(f"{file} holds no pair; give JSON lines with {', '.join(FIELDS)}")
    return pairs


def score_pairs(
    pairs: Sequence[MinimalPair],
    tokens: Mapping[str, np.ndarray],
    score: str,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairScores:
    """Return how many pairs are right.

    Args:
        pairs: in any order
        tokens: log-probabilities of the tokens of every sentence of the pairs
        score: one of `SCORES`
        resamples: bootstrap samples of the pairs of each paradigm, one pair fewer than it has: as many would give an
            interval that is too narrow where they are few. A single pair tells nothing of its own chance and counts as
            certain. Our default: 1,000. Source: McCarthy and Snowden 1985, The bootstrap and finite population
            sampling.
        seed: seed of the samples
    """
    value = SCORES[score]
    right: dict[str, list[bool]] = {}
    phenomenon_of: dict[str, str] = {}
    for pair in pairs:
        right.setdefault(pair.paradigm, []).append(value(tokens[pair.good]) > value(tokens[pair.bad]))
        phenomenon_of[pair.paradigm] = pair.phenomenon
    sizes = np.array([max(len(found) - 1, 1) for found in right.values()])
    shares = np.array([float(np.mean(found)) for found in right.values()])
    # To draw n pairs of which a share p is right, again and again, is to draw from a binomial distribution.
    samples = np.random.default_rng(seed).binomial(sizes, shares, size=(resamples, len(sizes))) / sizes
    phenomena = np.array([phenomenon_of[paradigm] for paradigm in right])

    def mean_over(chosen: np.ndarray) -> Estimate:
        return Estimate(float(shares[chosen].mean()), *bounds(samples[:, chosen].mean(axis=1)))

    return PairScores(
        mean_over(np.ones(len(shares), dtype=bool)),
        {name: mean_over(phenomena == name) for name in sorted(set(phenomena.tolist()))},
        {paradigm: mean_over(np.arange(len(shares)) == number) for number, paradigm in enumerate(right)},
    )

"""Published CLUE scores, to compare measured ones with. Their protocols differ; each row says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedRow:
    """Scores of one published model.

    Attributes:
        model: its name
        source: who stated them, and on which rows they were measured
        scores: task -> accuracy in percent
    """

    model: str
    source: str
    scores: Mapping[str, float]


_TASKS = ("afqmc", "tnews", "iflytek", "cmnli", "cluewsc2020", "csl", "ocnli", "c3")


def _row(model: str, source: str, *scores: float) -> PublishedRow:
    return PublishedRow(model, source, dict(zip(_TASKS, scores, strict=True)))


PUBLISHED = (
    _row(
        "Chinese ModernBERT (large)",
        "as republished by the authors of Zhinao-ChineseModernBERT; split and protocol not stated",
        73.87, 56.90, 60.15, 83.96, 52.10, 86.20, 79.10, 82.65,
    ),
    _row(
        "RoBERTa-wwm-large",
        "CLUE leaderboard, test server; one task of the eight is not on it",
        76.55, 58.61, 62.98, 82.12, 74.60, 82.13, 78.20, 73.82,
    ),
    _row(
        "RoBERTa-wwm-ext (base)",
        "CLUE leaderboard, test server; one task of the eight is not on it",
        74.04, 56.94, 60.31, 80.51, 67.80, 81.00, 74.72, 66.50,
    ),
    _row(
        "Zhinao-ChineseModernBERT (base)",
        "its authors; dev, the best epoch chosen on dev, one run",
        76.99, 57.51, 59.56, 83.82, 78.95, 85.70, 79.08, 75.42,
    ),
)  # fmt: skip

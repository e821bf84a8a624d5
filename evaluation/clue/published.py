"""Published CLUE scores, to compare measured ones with. Their protocols differ; each row says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml


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


PUBLISHED = tuple(
    PublishedRow(**row) for row in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
)

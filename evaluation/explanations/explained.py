"""One text with the weight of each of its words, as reports and pages show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .units import WordUnit


@dataclass(frozen=True)
class ExplainedText:
    """A text and why it is decided as it is.

    Attributes:
        identity: its id, or its number in the file
        texts: its one or two texts
        units: its words; what lies behind the last was cut off
        explained: name of the explained label
        value: its probability, or the number
        predicted: what the model says: a label, labels, or a number
        gold: what is right; None where it is not given
        weights: method -> float64 `[words]`
    """

    identity: str | int
    texts: tuple[str, ...]
    units: Sequence[WordUnit]
    explained: str
    value: float
    predicted: Any
    gold: Any
    weights: Mapping[str, np.ndarray]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; a word is its text, its place and the weight of each method."""
        words = [
            {
                "text": unit.text,
                "part": unit.part,
                "start": unit.start,
                "end": unit.end,
                **{name: round(float(own[i]), 6) for name, own in self.weights.items()},
            }
            for i, unit in enumerate(self.units)
        ]
        named = {name: getattr(self, name) for name in ("explained", "value", "predicted", "gold")}
        return {"id": self.identity, "texts": list(self.texts), **named, "words": words}

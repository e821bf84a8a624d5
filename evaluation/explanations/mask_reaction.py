"""Does a model know masked texts? One that was not trained with masks reacts to [MASK] itself, not to a missing word.

A model that was answers a text without any word as the labels are spread, since that is all it can know; the distance
from that spread is measured. Source: arXiv 2310.07819, where a fully masked text gets the accuracy of the most frequent
class; the distance and its limit are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .masked_texts import Kind, MaskedTexts, probability

LIMIT = 0.25
"""Distance from which a model is said to react to the mask. Source: our default, between what models with and without
masked fine-tuning measure (benchmarks/2026-11-27-explain.md)."""


@dataclass(frozen=True)
class MaskReaction:
    """What a model makes of texts without words.

    Attributes:
        distance: of its mean answer to texts without words from the spread of labels: half the sum of differences of
            probability; of several labels their mean difference; of numbers the difference of means in deviations
        accuracy: share of right classes with `whole`, `half` and `none` of the words; empty for other kinds, and where
            a text has no right label
        most_frequent: share of the most frequent label; None where accuracy is empty
        answers: float64 `[outputs]`, the mean answer to texts without words
        spread: float64 `[outputs]`, the spread of labels; of the model's own answers where a text has no right label
    """

    distance: float
    accuracy: dict[str, float]
    most_frequent: float | None
    answers: NDArray[np.float64]
    spread: NDArray[np.float64]

    @property
    def is_strong(self) -> bool:
        """Whether explanations by masking are to be doubted."""
        return self.distance > LIMIT

    def sentence(self) -> str:
        """Return one line for a report or a log."""
        shares = {"whole": "all"}
        shown = [f"{_percent(one)} with {shares.get(name, name)} of the words" for name, one in self.accuracy.items()]
        if self.most_frequent is not None:
            shown.append(f"{_percent(self.most_frequent)} by the most frequent label alone")
        measured = f"distance {self.distance:.2f}" + (f"; right: {', '.join(shown)}" if shown else "")
        if self.is_strong:
            return (
                f"The model reacts to the mask itself ({measured}): fine-tune it with masked_fine_tuning, or its "
                "explanations and curves tell of [MASK] as well as of the words"
            )
        return f"The model knows masked texts ({measured})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def measure_mask_reaction(
    texts: MaskedTexts,
    half: Sequence[np.ndarray],
    labels: Sequence[Any],
    outputs: int,
    known: Sequence[Any] = (),
) -> MaskReaction:
    """Measure what a model makes of texts without words.

    Args:
        texts: the texts
        half: for each text bool `[words]`, a random half of them
        labels: right label of each text, see `Label`; None where it is not given
        outputs: number of the model's outputs
        known: right labels of all rows at hand, whose spread is surer than that of a few; none: those of the texts
    """
    none = [(number, np.ones(len(own), dtype=np.bool_)) for number, own in enumerate(texts.units)]
    answers = probability(texts.logits(none), texts.kind)
    own = probability(texts.whole, texts.kind)
    has_gold = all(label is not None for label in labels)
    known = [label for label in known if label is not None] or labels
    right = _targets(known, texts.kind, outputs) if has_gold else own
    spread, mean = right.mean(axis=0), answers.mean(axis=0)
    accuracy, most = {}, None
    if has_gold and texts.kind in ("classification", "spans"):
        gold = np.array(labels)
        halves = texts.logits(list(enumerate(half)))
        for name, logits in (("whole", texts.whole), ("half", halves), ("none", answers)):
            accuracy[name] = float((logits.argmax(axis=-1) == gold).mean())
        most = float(spread.max())
    return MaskReaction(_distance(mean, spread, right, texts.kind), accuracy, most, mean, spread)


def _targets(labels: Sequence[Any], kind: Kind, outputs: int) -> NDArray[np.float64]:
    """Return labels as float64 `[texts, outputs]`, 1 where one holds, or the number."""
    if kind == "regression":
        return np.array(labels, dtype=np.float64).reshape(-1, 1)
    held = np.zeros((len(labels), outputs))
    for row, label in zip(held, labels, strict=True):
        row[list(label) if isinstance(label, tuple) else label] = 1
    return held


def _distance(mean: np.ndarray, spread: np.ndarray, right: np.ndarray, kind: Kind) -> float:
    differences = np.abs(mean - spread)
    if kind == "regression":
        return float(differences[0] / max(right.std(), 1e-12))
    return float(differences.mean() if kind == "multi_label" else differences.sum() / 2)

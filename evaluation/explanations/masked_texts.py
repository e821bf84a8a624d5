"""What a classifier says of texts with some of their words masked: every row runs once, those of all texts together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit, log_softmax

from .units import WordUnit

Kind = Literal["classification", "spans", "multi_label", "regression"]
Row = Mapping[str, Any]
# A text's number, and bool `[words]`, True where a word is masked.
Request = tuple[int, NDArray[np.bool_]]


class MaskedTexts:
    """Texts whose words can be masked, and what each masking costs the decision.

    The decision is the label that the whole text is given, of several labels the most probable one, or a number.

    Args:
        rows: one tokenized row for each text, `input_ids` among its columns
        units: the words of each row
        mask_id: id of [MASK]
        score: rows -> logits, float `[rows, outputs]`
        kind: kind of the task
        target: number of the label to explain; None: the one that the model gives

    Attributes:
        targets: int64 `[texts]`, number of each explained output
        whole: float64 `[texts, outputs]`, logits of the texts as they are
        rows_run: rows that went through the model
    """

    def __init__(
        self,
        rows: Sequence[Row],
        units: Sequence[Sequence[WordUnit]],
        mask_id: int,
        score: Callable[[Sequence[dict[str, Any]]], np.ndarray],
        kind: Kind,
        target: int | None = None,
    ) -> None:
        self.units = units
        self.kind: Kind = kind
        self._rows, self._mask, self._score = rows, mask_id, score
        self._known: dict[tuple[int, bytes], np.ndarray] = {}
        self.rows_run = 0
        self.whole = self.logits([(number, np.zeros(len(own), dtype=np.bool_)) for number, own in enumerate(units)])
        self.targets = self.whole.argmax(axis=-1) if target is None else np.full(len(rows), target)

    def __len__(self) -> int:
        return len(self.units)

    def logits(self, requests: Sequence[Request]) -> NDArray[np.float64]:
        """Return float64 `[requests, outputs]`; a row that has run before does not run again."""
        keys = [(number, masked.tobytes()) for number, masked in requests]
        new = {key: request for key, request in zip(keys, requests, strict=True) if key not in self._known}
        if new:
            found = self._score([self._masked(*request) for request in new.values()])
            self._known.update(zip(new, found.reshape(len(new), -1), strict=True))
            self.rows_run += len(new)
        return np.array([self._known[key] for key in keys], dtype=np.float64)

    def _masked(self, number: int, masked: NDArray[np.bool_]) -> dict[str, Any]:
        """Return a row with its masked words' tokens replaced."""
        ids = list(self._rows[number]["input_ids"])
        for i in np.flatnonzero(masked).tolist():
            for position in self.units[number][i].positions:
                ids[position] = self._mask
        return {**self._rows[number], "input_ids": ids}

    def lost(self, requests: Sequence[Request]) -> NDArray[np.float64]:
        """Return what masking takes from the decision, float64 `[requests]`.

        That is the drop in the probability of the explained label, negative where it rises; of a number, how far it
        moves, whichever way.
        """
        change = self._changes(requests, probability)
        return np.abs(change) if self.kind == "regression" else change

    def weight(self, requests: Sequence[Request]) -> NDArray[np.float64]:
        """Return the drop in the explained label's log-probability, or in the number, with its sign."""
        return self._changes(requests, log_probability)

    def _changes(self, requests: Sequence[Request], value: Callable[..., np.ndarray]) -> NDArray[np.float64]:
        numbers = np.array([number for number, _ in requests], dtype=np.int64)
        if not len(numbers):
            return np.zeros(0)
        before, after = (value(logits, self.kind) for logits in (self.whole[numbers], self.logits(requests)))
        places = np.arange(len(numbers)), self.targets[numbers]
        return before[places] - after[places]

    def order(self, weights: np.ndarray) -> NDArray[np.int64]:
        """Return the numbers of a text's words, the most important first; of a number those that move it most."""
        return np.argsort(-(np.abs(weights) if self.kind == "regression" else weights), kind="stable")


def log_probability(logits: np.ndarray, kind: Kind) -> NDArray[np.float64]:
    """Return log-probabilities of the outputs, float64 of the same shape; a number is itself."""
    numbers = np.asarray(logits, dtype=np.float64)
    if kind == "regression":
        return numbers
    return log_expit(numbers) if kind == "multi_label" else log_softmax(numbers, axis=-1)


def probability(logits: np.ndarray, kind: Kind) -> NDArray[np.float64]:
    """Return probabilities of the outputs, float64 of the same shape; a number is itself."""
    return log_probability(logits, kind) if kind == "regression" else np.exp(log_probability(logits, kind))

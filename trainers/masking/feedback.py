"""Weights that follow the model: what it still predicts badly is masked more often.

The trainer reports every masked token (`observe`); every few optimizer steps (`commit`) the counts of all processes are
summed, a rule turns them into new weights, and counting starts again. `TableWeights(feedback)` and
`TagWeights("pos", feedback)` read the current table. `MaskingTrainer` does all of this.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

# Losses are summed as integers in this unit (about a millionth): the sum of integers is the same in any order, so
# the table is bit-equal however the tokens were spread over batches and processes. Our default.
LOSS_UNIT = 2.0**-20


class Counts(NamedTuple):
    """Float64 `[K]` sums over masked tokens since the last commit: their number, their loss, how many were right."""

    seen: np.ndarray
    loss: np.ndarray
    correct: np.ndarray


class FeedbackRule(Protocol):
    """Turns counts into new weights; `state` is float64 `[K]` and kept between commits."""

    def start(self, size: int) -> np.ndarray:
        """Return the first state."""
        ...

    def update(self, state: np.ndarray, counts: Counts) -> np.ndarray:
        """Return the next state."""
        ...

    def weights(self, state: np.ndarray) -> np.ndarray:
        """Return float64 `[K]` weights >= 0."""
        ...


@dataclass(frozen=True)
class AccuracyRule:
    """Weight = 1 - accuracy, smoothed over time, with a floor and a mean of 1.

    Source: AMLM (released code): `acc = (correct + .5) / (seen + 1)`, `w <- .2 w + .8 (1 - acc)`, floor .005 at a base
    rate of .15 to .40. The mean of 1 is ours: the sampler multiplies by the rate itself.

    Attributes:
        keep: share of the old weight
        floor: smallest weight
    """

    keep: float = 0.2
    floor: float = 0.005

    def start(self, size: int) -> np.ndarray:
        """Return equal weights."""
        return np.ones(size)

    def update(self, state: np.ndarray, counts: Counts) -> np.ndarray:
        """Blend in the new error rates; a token that was not seen counts as half right."""
        accuracy = (counts.correct + 0.5) / (counts.seen + 1)
        error = 2 * (1 - accuracy)
        new = np.maximum(self.keep * state + (1 - self.keep) * error, self.floor)
        return new / new.mean()

    def weights(self, state: np.ndarray) -> np.ndarray:
        """Return the state."""
        return state


@dataclass(frozen=True)
class LossRule:
    """Weight = mean training loss of the token, smoothed over time, with a mean of 1.

    Source: Weighted Sampling (dynamic weights from the training loss; the update rule is not public: this is ours).

    Attributes:
        keep: share of the old weight
        floor: smallest weight
    """

    keep: float = 0.5
    floor: float = 0.05

    def start(self, size: int) -> np.ndarray:
        """Return equal weights."""
        return np.ones(size)

    def update(self, state: np.ndarray, counts: Counts) -> np.ndarray:
        """Blend in the mean losses (relative to their mean); a token that was not seen keeps its weight."""
        seen = counts.seen > 0
        if not seen.any() or not counts.loss.sum():
            return state
        relative = np.divide(counts.loss, counts.seen, out=state.copy(), where=seen)
        relative[seen] /= counts.loss.sum() / counts.seen.sum()
        new = np.maximum(np.where(seen, self.keep * state + (1 - self.keep) * relative, state), self.floor)
        return new / new.mean()

    def weights(self, state: np.ndarray) -> np.ndarray:
        """Return the state."""
        return state


@dataclass(frozen=True)
class TagLossRule:
    """Weight = sigmoid of the standardised moving average of each tag's loss.

    Source: PTW of "Learning Better Masking" (arXiv 2208.10806, released code): `s <- .9 s + .1 loss`,
    `w = sigmoid(2 (s - mean s) / std s)`.

    Attributes:
        keep: share of the old average
    """

    keep: float = 0.9

    def start(self, size: int) -> np.ndarray:
        """Return averages of zero."""
        return np.zeros(size)

    def update(self, state: np.ndarray, counts: Counts) -> np.ndarray:
        """Blend in the mean losses; a tag that was not seen keeps its average."""
        mean = np.divide(counts.loss, counts.seen, out=state.copy(), where=counts.seen > 0)
        return self.keep * state + (1 - self.keep) * mean

    def weights(self, state: np.ndarray) -> np.ndarray:
        """Return the sigmoids; all weights are equal while the losses of the tags are."""
        spread = state.std()
        if spread < 1e-12:
            return np.ones_like(state)
        return 1 / (1 + np.exp(-2 * (state - state.mean()) / spread))


class FeedbackTable:
    """A table of weights that learns from the losses of masked tokens.

    Args:
        size: K, the vocabulary size or the number of tags
        rule: how counts become weights
        every: optimizer steps between two commits. Source of the default: AMLM.
    """

    def __init__(self, size: int, rule: FeedbackRule, every: int = 200) -> None:
        if size < 1 or every < 1:
            raise ValueError(f"size={size} and every={every} must be at least 1")
        self.rule = rule
        self.every = every
        self._state = rule.start(size)
        self._counts = np.zeros((3, size), dtype=np.int64)

    @property
    def table(self) -> np.ndarray:
        """The current float32 `[K]` weights."""
        return self.rule.weights(self._state).astype(np.float32)

    def observe(self, keys: np.ndarray, loss: np.ndarray, correct: np.ndarray) -> None:
        """Add masked tokens.

        Args:
            keys: integer `[M]`, label ids or tags; negative ones are left out
            loss: float `[M]`; a token whose loss is not finite is left out
            correct: bool `[M]`

        Raises:
            ValueError: If a key is outside the table.
        """
        loss = np.asarray(loss, dtype=np.float64)
        inside = (keys >= 0) & np.isfinite(loss)
        keys, size = keys[inside], self._state.size
        if keys.max(initial=-1) >= size:
            raise ValueError(f"feedback about id {keys.max()} does not fit a table of {size}; make it larger")
        values = (None, np.rint(loss[inside] / LOSS_UNIT), np.asarray(correct)[inside].astype(float))
        for row, weight in zip(self._counts, values, strict=True):
            row += np.bincount(keys, weight, minlength=size).astype(np.int64)

    def commit(self, step: int, sum_over_processes: Callable[[np.ndarray], np.ndarray] | None = None) -> bool:
        """Update the table if optimizer step `step` (1, 2, ...) is a multiple of `every`; return whether it did.

        Args:
            step: optimizer steps done
            sum_over_processes: adds up an int64 array over all processes, called by each of them at the same steps;
                None for one process. With it every process computes the same table.
        """
        if step % self.every:
            return False
        counts = self._counts if sum_over_processes is None else sum_over_processes(self._counts)
        seen, loss, correct = counts.astype(np.float64)
        self._state = self.rule.update(self._state, Counts(seen, loss * LOSS_UNIT, correct))
        self._counts = np.zeros_like(self._counts)
        return True

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return what a checkpoint must hold: the state and the counts since the last commit of this process."""
        return {"state": self._state.copy(), "counts": self._counts.copy()}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state_dict`.

        Raises:
            ValueError: If the state belongs to a table of another size.
        """
        if state["state"].shape != self._state.shape or state["counts"].shape != self._counts.shape:
            raise ValueError(f"the stored table has {state['state'].size} rows, this one {self._state.size}")
        self._state, self._counts = state["state"].copy(), state["counts"].copy()

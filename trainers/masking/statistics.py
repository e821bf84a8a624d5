"""What the masker did since the last log: the rate and the lengths of the masked units."""

from dataclasses import dataclass

import numpy as np

from .batch import MaskedBatch

# Lengths 1, 2, 3 and "4 or more".
LENGTH_BINS = 4


@dataclass(frozen=True)
class MaskingCounts:
    """What one masked batch adds to the statistics: a few numbers, so that whoever masked it need not send the batch.

    Attributes:
        maskable_tokens: tokens that carried a word id
        masked_tokens: tokens to predict
        target_tokens: tokens that the rate asked for
        loss_weight: sum of the loss weights of the masked tokens; None where all count equally
        units: all units that could have been masked
        single_token_units: those of them with one token
        masked_units: int64 `[4]`, masked units of 1, 2, 3, and 4 or more tokens
        masked_words: int64 `[4]`, the same by characters; zeros where the characters are not known
    """

    maskable_tokens: int
    masked_tokens: int
    target_tokens: float
    loss_weight: float | None
    units: int
    single_token_units: int
    masked_units: np.ndarray
    masked_words: np.ndarray


def count_masks(masked: MaskedBatch, characters_per_id: np.ndarray | None = None) -> MaskingCounts:
    """Count what a masked batch holds.

    Args:
        masked: the batch
        characters_per_id: see `MaskingStatistics`
    """
    units, weight = masked["units"], masked["loss_weight"]
    lengths = units.length[masked["chosen"]]
    words = np.zeros(LENGTH_BINS, dtype=np.int64)
    if characters_per_id is not None and lengths.size:
        characters = characters_per_id[masked["labels"][masked["selected"]]]
        words = _histogram(np.add.reduceat(characters, np.cumsum(lengths) - lengths))
    return MaskingCounts(
        maskable_tokens=masked["maskable_tokens"],
        masked_tokens=int(lengths.sum()),
        target_tokens=masked["target_rate"] * masked["maskable_tokens"],
        loss_weight=None if weight is None else float(weight.sum(dtype=np.float64)),
        units=units.length.size,
        single_token_units=int(np.count_nonzero(units.length == 1)),
        masked_units=_histogram(lengths),
        masked_words=words,
    )


class MaskingStatistics:
    """Counts of masked batches, updated after each batch, read and cleared at each log.

    Args:
        characters_per_id: integer `[V]`, characters of each token (see `characters_per_id`); with it the
            word lengths in characters are counted too
    """

    def __init__(self, characters_per_id: np.ndarray | None = None) -> None:
        self._characters_per_id = characters_per_id
        self.units_seen = 0
        self.single_token_units_seen = 0
        self.masked_tokens_seen = 0
        self.clear()

    def clear(self) -> None:
        """Forget the counts since the last log; the totals over the run stay."""
        self.maskable_tokens = 0
        self.masked_tokens = 0
        self.target_tokens = 0.0
        self.masked_units = np.zeros(LENGTH_BINS, dtype=np.int64)
        self.masked_words = np.zeros(LENGTH_BINS, dtype=np.int64)

    def observe(self, masked: MaskedBatch) -> None:
        """Add one masked batch."""
        self.add(self.count(masked))

    def count(self, masked: MaskedBatch) -> MaskingCounts:
        """Return what one masked batch would add."""
        return count_masks(masked, self._characters_per_id)

    def add(self, counts: MaskingCounts) -> None:
        """Add the counts of one masked batch."""
        self.maskable_tokens += counts.maskable_tokens
        self.masked_tokens += counts.masked_tokens
        self.target_tokens += counts.target_tokens
        self.masked_units += counts.masked_units
        self.masked_words += counts.masked_words
        self.units_seen += counts.units
        self.single_token_units_seen += counts.single_token_units
        self.masked_tokens_seen += counts.masked_tokens

    @property
    def realized_rate(self) -> float:
        """Masked share of the maskable tokens since the last log."""
        return self.masked_tokens / max(self.maskable_tokens, 1)

    @property
    def target_rate(self) -> float:
        """Mean target rate since the last log."""
        return self.target_tokens / max(self.maskable_tokens, 1)

    @property
    def single_token_share(self) -> float:
        """Share of single-token units among all units of the run."""
        return self.single_token_units_seen / max(self.units_seen, 1)

    def as_logs(self) -> dict[str, float]:
        """Return the metrics under the names of the training log; empty before the first batch."""
        if not self.maskable_tokens:
            return {}
        logs = {"mask_rate_target": self.target_rate, "mask_rate": self.realized_rate}
        logs |= _shares("masked_units", "tokens", self.masked_units)
        if self._characters_per_id is not None:
            logs |= _shares("masked_words", "characters", self.masked_words)
        return {name: round(value, 5) for name, value in logs.items()}


def characters_per_id(tokens: list[str]) -> np.ndarray:
    """Count the characters of tokens given as text (spaces at their ends do not count); int64 `[V]`."""
    return np.array([len(token.strip()) for token in tokens], dtype=np.int64)


def _histogram(lengths: np.ndarray) -> np.ndarray:
    return np.bincount(np.clip(lengths, 1, LENGTH_BINS) - 1, minlength=LENGTH_BINS)


def _shares(name: str, unit: str, counts: np.ndarray) -> dict[str, float]:
    total = max(int(counts.sum()), 1)
    labels = [*map(str, range(1, LENGTH_BINS)), f"{LENGTH_BINS}_or_more"]
    return {f"{name}_of_{label}_{unit}": count / total for label, count in zip(labels, counts, strict=True)}

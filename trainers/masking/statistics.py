"""What the masker did since the last log: the rate and the lengths of the masked units."""

import numpy as np

from .batch import MaskedBatch

# Lengths 1, 2, 3 and "4 or more".
LENGTH_BINS = 4


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
        units, chosen = masked["units"], masked["chosen"]
        lengths = units.length[chosen]
        self.maskable_tokens += masked["maskable_tokens"]
        self.masked_tokens += int(lengths.sum())
        self.target_tokens += masked["target_rate"] * masked["maskable_tokens"]
        self.masked_units += _histogram(lengths)
        self.units_seen += units.length.size
        self.single_token_units_seen += int(np.count_nonzero(units.length == 1))
        if self._characters_per_id is not None and lengths.size:
            characters = self._characters_per_id[masked["labels"][masked["selected"]]]
            self.masked_words += _histogram(np.add.reduceat(characters, np.cumsum(lengths) - lengths))

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

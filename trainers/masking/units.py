"""What is masked as a whole: tokens, words, entities, n-grams of words, or one token of each.

Every class turns a batch into a `UnitTable`. Units never cross a document, a special token or padding.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...runtime.counter_random import CounterRandom
from ...runtime.token_rows import begins_run
from .batch import PackedBatch, UnitTable, document_ids_of

WORD_IDS = "word_ids"


class Units(Protocol):
    """Anything that cuts a batch into units."""

    def __call__(self, batch: PackedBatch, random: CounterRandom) -> UnitTable:
        """Return the units of `batch`, with `group` equal to the row."""
        ...


def unit_table(start: np.ndarray, length: np.ndarray, row_length: int) -> UnitTable:
    """Complete a table from flat offsets and lengths (int64 `[U]`)."""
    row = start // row_length
    return UnitTable(start, length, row, start - row * row_length, row)


def token_offsets(units: UnitTable) -> np.ndarray:
    """Return the flat offset of every token of every unit, in order (int64 `[sum of lengths]`)."""
    before = np.cumsum(units.length) - units.length
    return np.repeat(units.start - before, units.length) + np.arange(int(units.length.sum()))


def change_points(batch: PackedBatch, *columns: np.ndarray) -> np.ndarray:
    """Return bool `[N]`: True where a row starts, or a column or the document differs from the token before."""
    shape = batch["input_ids"].shape
    return begins_run(*(column.reshape(shape) for column in (document_ids_of(batch), *columns))).reshape(-1)


@dataclass(frozen=True)
class TokenUnits:
    """Every maskable token is a unit of its own."""

    def __call__(self, batch: PackedBatch, random: CounterRandom) -> UnitTable:
        """Return one unit for each token with a word id."""
        start = np.flatnonzero(batch["word_ids"].reshape(-1) >= 0)
        return unit_table(start, np.ones_like(start), batch["input_ids"].shape[1])


@dataclass(frozen=True)
class ColumnUnits:
    """Equal neighbours in an id column are one unit.

    Attributes:
        column: "word_ids", or the name of a tag column ("entity", ...)
        fallback: where the column is -1, take units from this column instead; None leaves those tokens out
        max_tokens: a longer unit is split into single tokens; None keeps every unit whole
    """

    column: str = WORD_IDS
    fallback: str | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens={self.max_tokens} must be at least 1 (or None for no limit)")

    def __call__(self, batch: PackedBatch, random: CounterRandom) -> UnitTable:
        """Return the runs of equal ids.

        Raises:
            ValueError: If the batch has no such column.
        """
        row_length = batch["input_ids"].shape[1]
        maskable = batch["word_ids"].reshape(-1) >= 0
        changes, eligible = self._runs(batch, maskable)
        borders = np.flatnonzero(changes)
        length = np.diff(borders, append=changes.size)
        inside = eligible[borders]
        table = unit_table(borders[inside], length[inside], row_length)
        return table if self.max_tokens is None else split_long_units(table, self.max_tokens, row_length)

    def _runs(self, batch: PackedBatch, maskable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return bool `[N]` change points and bool `[N]` tokens that belong to some unit."""
        if self.column == WORD_IDS:
            return change_points(batch, batch["word_ids"]), maskable
        column = _column(batch, self.column)
        tagged = (column >= 0).reshape(-1) & maskable
        changes = change_points(batch, column, maskable)
        if self.fallback is None:
            return changes, tagged
        other = _column(batch, self.fallback)
        free = ~tagged
        changes |= change_points(batch, other) & free
        return changes, tagged | (free & maskable & (other.reshape(-1) >= 0))


@dataclass(frozen=True)
class NGramUnits:
    """Neighbouring base units are joined into n-grams whose lengths follow `probabilities`.

    The text is tiled: lengths are drawn one after the other and a text's last tile is clipped.
    Source: MacBERT (arXiv 2004.13922): 1- to 4-grams of words at 40, 30, 20, 10 %.

    Attributes:
        base: the units to join, usually words
        probabilities: chance of 1, 2, ... base units; must sum to 1
    """

    base: Units
    probabilities: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)

    def __post_init__(self) -> None:
        if min(self.probabilities, default=-1.0) < 0 or abs(sum(self.probabilities) - 1) > 1e-6:
            raise ValueError(f"n-gram probabilities {self.probabilities} must be >= 0 and sum to 1")

    def __call__(self, batch: PackedBatch, random: CounterRandom) -> UnitTable:
        """Return the tiles."""
        base = self.base(batch, random)
        count = base.start.size
        if not count:
            return base
        uniform = random("ngram", base.row, base.position)
        size = 1 + np.searchsorted(np.cumsum(self.probabilities)[:-1], uniform, side="right")
        first = np.flatnonzero(self._begins_text(batch, base))
        base_units = np.diff(first, append=count)
        total = np.cumsum(size)
        offset = total - size
        offset -= np.repeat(offset[first], base_units)
        ends = np.repeat(first + base_units, base_units)
        tile = np.repeat(first, base_units) + offset
        begin = tile[tile < ends]
        stop = np.append(begin[1:], count) - 1
        length = base.start[stop] + base.length[stop] - base.start[begin]
        return unit_table(base.start[begin], length, batch["input_ids"].shape[1])

    def _begins_text(self, batch: PackedBatch, base: UnitTable) -> np.ndarray:
        """Return bool `[U]`: True where a unit does not directly follow the one before in the same document."""
        document = document_ids_of(batch).reshape(-1)[base.start]
        follows = base.start[1:] == base.start[:-1] + base.length[:-1]
        follows &= (document[1:] == document[:-1]) & (base.row[1:] == base.row[:-1])
        return np.append(True, ~follows)


@dataclass(frozen=True)
class OneTokenPerUnit:
    """Of each base unit one token, drawn at random, may be masked; the others stay as context.

    Source: Linguistic Entity Masking (one token of an entity span).

    Attributes:
        base: the units to draw from
    """

    base: Units

    def __call__(self, batch: PackedBatch, random: CounterRandom) -> UnitTable:
        """Return single-token units."""
        base = self.base(batch, random)
        step = (random("one_token", base.row, base.position) * base.length).astype(np.int64)
        return unit_table(base.start + step, np.ones_like(step), batch["input_ids"].shape[1])


def has_single_tokens(units: Units) -> bool:
    """Return whether every unit is one token by design, so that such units do not tell that words were lost."""
    return isinstance(units, TokenUnits | OneTokenPerUnit)


def split_long_units(units: UnitTable, max_tokens: int, row_length: int) -> UnitTable:
    """Return `units` with every unit of more than `max_tokens` tokens replaced by its single tokens."""
    too_long = units.length > max_tokens
    if not too_long.any():
        return units
    parts = np.where(too_long, units.length, 1)
    first = np.cumsum(parts) - parts
    start = np.repeat(units.start - first, parts) + np.arange(int(parts.sum()))
    return unit_table(start, np.repeat(np.where(too_long, 1, units.length), parts), row_length)


def _column(batch: PackedBatch, name: str) -> np.ndarray:
    if name == WORD_IDS:
        return batch["word_ids"]
    tags = batch.get("tags", {})
    if name not in tags:
        raise ValueError(f"the batch has no tag column {name!r}, only {sorted(tags)}; add it before masking")
    return tags[name]

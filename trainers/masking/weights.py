"""Which units are more likely: a number per token of the vocabulary, per tag, or per position; `*` multiplies them."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from .batch import PackedBatch


@runtime_checkable
class LiveTable(Protocol):
    """A table that changes during training, such as a `FeedbackTable`."""

    @property
    def table(self) -> np.ndarray:
        """The current float32 `[K]` values."""
        ...


class Weights:
    """Token weights >= 0; `first * second` multiplies."""

    def __call__(self, batch: PackedBatch) -> np.ndarray:
        """Return float `[B, L]`."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__ to weigh tokens")

    def live_tables(self) -> list[tuple[str | None, LiveTable]]:
        """Return the tables that change during training, each with its tag column, or None for tables by token."""
        return []

    def __mul__(self, other: "Weights") -> "Weights":
        return _Product(self, other)


@dataclass(frozen=True)
class _Product(Weights):
    first: Weights
    second: Weights

    def __call__(self, batch: PackedBatch) -> np.ndarray:
        return self.first(batch) * self.second(batch)

    def live_tables(self) -> list[tuple[str | None, LiveTable]]:
        return self.first.live_tables() + self.second.live_tables()


def _checked(values: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float32)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"{name} needs a one-dimensional table of finite numbers >= 0, got shape {values.shape}")
    return values


def _current(source: np.ndarray | LiveTable) -> np.ndarray:
    return source.table if isinstance(source, LiveTable) else source


@dataclass(frozen=True)
class TableWeights(Weights):
    """One weight for each token of the vocabulary.

    Attributes:
        table: float `[V]` >= 0, or a live table
    """

    table: np.ndarray | LiveTable

    def __post_init__(self) -> None:
        if not isinstance(self.table, LiveTable):
            object.__setattr__(self, "table", _checked(self.table, "TableWeights"))

    def __call__(self, batch: PackedBatch) -> np.ndarray:
        """Look every token up.

        Raises:
            ValueError: If the table is smaller than the vocabulary.
        """
        table, ids = _current(self.table), batch["input_ids"]
        try:
            return table[ids]
        except IndexError as error:
            raise ValueError(f"token id {ids.max()} is outside the table of {table.size} weights") from error

    def live_tables(self) -> list[tuple[str | None, LiveTable]]:
        """Return the table under None, if it is live."""
        return [(None, self.table)] if isinstance(self.table, LiveTable) else []


@dataclass(frozen=True)
class TagWeights(Weights):
    """One weight for each tag of a tag column.

    Attributes:
        tag: the column's name
        table: float `[K]` >= 0, or a live table
        untagged: weight of tokens whose tag is -1
    """

    tag: str
    table: np.ndarray | LiveTable
    untagged: float = 1.0
    _padded: np.ndarray | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.table, LiveTable):
            table = _checked(self.table, "TagWeights")
            object.__setattr__(self, "table", table)
            object.__setattr__(self, "_padded", np.append(table, np.float32(self.untagged)))
        if self.untagged < 0:
            raise ValueError(f"untagged={self.untagged} is negative; a weight is >= 0")

    def __call__(self, batch: PackedBatch) -> np.ndarray:
        """Look every tag up; index -1 is the last value, the weight of untagged tokens.

        Raises:
            ValueError: If the batch has no such column, or a tag is outside the table.
        """
        tags = batch.get("tags", {}).get(self.tag)
        if tags is None:
            raise ValueError(f"the batch has no tag column {self.tag!r}; add it before masking")
        padded = self._padded
        if padded is None:
            padded = np.append(_current(self.table), np.float32(self.untagged))
        if tags.max(initial=-1) >= padded.size - 1 or tags.min(initial=-1) < -1:
            raise ValueError(f"{self.tag!r} holds tags {tags.min()}..{tags.max()}, the table has {padded.size - 1}")
        return padded[tags]

    def live_tables(self) -> list[tuple[str | None, LiveTable]]:
        """Return the table under the tag's name, if it is live."""
        return [(self.tag, self.table)] if isinstance(self.table, LiveTable) else []


@dataclass(frozen=True)
class ColumnWeights(Weights):
    """A weight for each position, taken from a score column.

    Attributes:
        score: the column's name
    """

    score: str

    def __call__(self, batch: PackedBatch) -> np.ndarray:
        """Return the column.

        Raises:
            ValueError: If the batch has no such column.
        """
        scores = batch.get("scores", {})
        if self.score not in scores:
            raise ValueError(f"the batch has no score column {self.score!r}, only {sorted(scores)}; add it first")
        return scores[self.score]

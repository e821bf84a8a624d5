"""The masker: units, weights, rate, sampler and corruption put together. The published methods are in presets.py."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ...runtime.counter_random import CounterRandom
from ...runtime.token_rows import IGNORED_LABEL
from .batch import MaskedBatch, PackedBatch, UnitTable, check_batch, join_masked, rows_of
from .corruption import Corruption
from .rates import Piecewise, Rate
from .samplers import SAMPLERS
from .units import Units, change_points, token_offsets
from .weights import Weights

# Rows are masked in groups of this many tokens, so that temporary arrays stay in the cache: a quarter faster at
# 64 x 8,192 tokens. A row's mask does not depend on the other rows, so the size changes nothing. Our default.
CACHED_TOKENS = 2**15


@dataclass(frozen=True)
class ClassLoss:
    """Loss weights by tag: a masked token with tag k counts `weights[k]` times.

    Attributes:
        tag: name of the tag column
        weights: float32 `[K]`
        untagged: weight of tokens whose tag is -1
        any_tag: the column holds ids, not classes: every id >= 0 counts as tag 0
    """

    tag: str
    weights: np.ndarray
    untagged: float = 1.0
    any_tag: bool = False


@dataclass(frozen=True)
class Masker:
    """Mask a batch. The result depends only on (seed, epoch, sample id, position, progress).

    Attributes:
        units: what is masked as a whole
        rate: share of the maskable tokens, a number or a schedule
        corruption: what replaces the masked tokens
        weights: token weights; None = all equal
        sampler: "budget" (exact share), "bernoulli" (independent units, share in expectation) or "absolute"
            (weights are the probabilities, the rate is ignored)
        budget: the share is met in each packed "row" or in each "document"
        reduce: how token weights become a unit's weight
        class_loss: loss weights by tag
        inverse_rate_loss: weight a masked token by 1 / rate of its group (masked diffusion)
        seed: names the family of masks
        taggers: name of a tag column -> what makes it, integer `[B, L]`, of a batch that comes without it, such as a
            `WordTagger`
    """

    units: Units
    rate: Rate | float
    corruption: Corruption
    weights: Weights | None = None
    sampler: Literal["budget", "bernoulli", "absolute"] = "budget"
    budget: Literal["row", "document"] = "row"
    reduce: Literal["mean", "max", "sum"] = "mean"
    class_loss: ClassLoss | None = None
    inverse_rate_loss: bool = False
    seed: int = 0
    taggers: Mapping[str, Callable[[PackedBatch], np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, known in (
            ("sampler", tuple(SAMPLERS)),
            ("budget", ("row", "document")),
            ("reduce", ("mean", "max", "sum")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r} is unknown; use one of {', '.join(known)}")
        if self.sampler == "absolute" and self.weights is None:
            raise ValueError("sampler='absolute' reads the probabilities from weights; give weights=TableWeights(...)")

    @property
    def schedule(self) -> Rate:
        """The rate as a schedule."""
        return Piecewise([(0.0, self.rate)]) if isinstance(self.rate, int | float) else self.rate

    @property
    def follows_model(self) -> bool:
        """Whether a table that changes during training weighs the units, so that no batch can be masked ahead."""
        return self.weights is not None and bool(self.weights.live_tables())

    def target_rate(self, progress: float) -> float:
        """Return the mean target share at `progress` (0 = first step, 1 = last)."""
        return self.schedule.expected(progress)

    def __call__(self, batch: PackedBatch, progress: float, epoch: int | np.ndarray = 0) -> MaskedBatch:
        """Mask one batch; the input is not changed.

        Args:
            batch: see `PackedBatch`
            progress: training step / all steps
            epoch: number of the pass over the data (one, or int64 `[B]`); each pass has its own masks

        Returns:
            See `MaskedBatch`.

        Raises:
            ValueError: If columns are missing or do not fit together.
        """
        batch = self._with_tags(batch)
        check_batch(batch)
        rows, row_length = batch["input_ids"].shape
        step = max(1, CACHED_TOKENS // row_length)
        epochs = np.broadcast_to(np.asarray(epoch), rows)
        parts = [
            self._mask_rows(rows_of(batch, first, first + step), progress, epochs[first : first + step])
            for first in range(0, rows, step)
        ]
        masked = parts[0][0]
        if len(parts) > 1:
            masked = join_masked([masked for masked, _ in parts], [groups for _, groups in parts])
        masked["tags"] = batch.get("tags", {})
        return masked

    def _with_tags(self, batch: PackedBatch) -> PackedBatch:
        """Return a batch with the columns that taggers make, where it came without them."""
        given = batch.get("tags", {})
        made = {name: tagger(batch) for name, tagger in self.taggers.items() if name not in given}
        return PackedBatch({**batch, "tags": {**given, **made}}) if made else batch

    def _mask_rows(self, batch: PackedBatch, progress: float, epochs: np.ndarray) -> tuple[MaskedBatch, int]:
        """Mask a few rows; return them and how many budget groups they have."""
        random = CounterRandom(self.seed, epochs, batch.get("sample_ids", np.zeros(0)))
        units = self.units(batch, random)
        units, tokens, rates = self._groups(batch, units, progress, random)
        chosen = SAMPLERS[self.sampler](units, self._unit_weights(batch, units), rates * tokens, random)
        picked = units.take(chosen)
        offset = token_offsets(picked)
        original = batch["input_ids"].reshape(-1)[offset]
        labels = np.full(batch["input_ids"].shape, IGNORED_LABEL, dtype=np.int64)
        labels.reshape(-1)[offset] = original
        selected = np.zeros(labels.shape, dtype=bool)
        selected.reshape(-1)[offset] = True
        total = int(tokens.sum())
        masked = MaskedBatch(
            input_ids=self.corruption(batch, picked, random),
            labels=labels,
            selected=selected,
            loss_weight=self._loss_weight(batch, picked, offset, rates),
            units=units,
            chosen=chosen,
            maskable_tokens=total,
            target_rate=float(rates @ tokens) / total if total else 0.0,
        )
        return masked, tokens.size

    def _groups(
        self, batch: PackedBatch, units: UnitTable, progress: float, random: CounterRandom
    ) -> tuple[UnitTable, np.ndarray, np.ndarray]:
        """Return the units with their budget groups, int64 `[G]` maskable tokens and float64 `[G]` rates."""
        maskable = batch["word_ids"] >= 0
        rows, row_length = maskable.shape
        if self.budget == "row":
            first = np.arange(rows) * row_length
            tokens = np.count_nonzero(maskable, axis=1)
        else:
            changes = change_points(batch)
            first = np.flatnonzero(changes)
            tokens = np.add.reduceat(maskable.reshape(-1), first, dtype=np.int64)
            units = units._replace(group=(np.cumsum(changes) - 1)[units.start])
        row = first // row_length
        return units, tokens, self.schedule(progress, row, first - row * row_length, random)

    def _unit_weights(self, batch: PackedBatch, units: UnitTable) -> np.ndarray:
        """Return float64 `[U]`; each unit is summed alone, so that other rows cannot change its last bit."""
        if self.weights is None:
            return np.ones(units.start.size)
        weights = self.weights(batch).reshape(-1)
        if not units.start.size or (units.length == 1).all():
            return weights[units.start].astype(np.float64)
        values = weights[token_offsets(units)].astype(np.float64)
        first = np.cumsum(units.length) - units.length
        if self.reduce == "max":
            return np.maximum.reduceat(values, first)
        total = np.add.reduceat(values, first)
        return total / units.length if self.reduce == "mean" else total

    def _loss_weight(
        self, batch: PackedBatch, picked: UnitTable, offset: np.ndarray, rates: np.ndarray
    ) -> np.ndarray | None:
        """Return float32 `[B, L]`, or None when all masked tokens count equally."""
        if self.class_loss is None and not self.inverse_rate_loss:
            return None
        values = np.ones(offset.size, dtype=np.float32)
        if self.class_loss is not None:
            tags = batch.get("tags", {}).get(self.class_loss.tag)
            if tags is None:
                raise ValueError(f"the batch has no tag column {self.class_loss.tag!r}; add it before masking")
            table = np.append(self.class_loss.weights, self.class_loss.untagged).astype(np.float32)
            tags = tags.reshape(-1)[offset]
            values *= table[np.minimum(tags, 0) if self.class_loss.any_tag else tags]
        if self.inverse_rate_loss:
            values /= np.repeat(rates[picked.group], picked.length).astype(np.float32)
        weight = np.zeros(batch["input_ids"].shape, dtype=np.float32)
        weight.reshape(-1)[offset] = values
        return weight

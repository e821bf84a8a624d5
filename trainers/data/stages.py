"""Stages of one run and the batches that follow from them: which rows micro-batch i holds, from i alone.

Legend: a step is an optimizer update; it takes `micro_batches_per_step` = accumulation x processes micro-batches of
`tokens_per_micro_batch` positions each, whatever the stage's context length (fewer while a `BatchSizeWarmup` lasts).
"""

import logging
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from .arguments import Stage
from .batch_plan import BatchSizeWarmup, plan_batches
from .packing import PackedRows, SpecialIds, positions_of
from .sampling import EpochRest, epoch_samples, favor_long, rest_of_epoch, weights_by_source
from .shards import TokenShards

logger = logging.getLogger(__name__)

SHARE_TOLERANCE = 1e-6


def stage_ends(stages: Sequence[Stage], max_steps: int) -> list[int]:
    """Return the step after the last one of each stage.

    Args:
        stages: stages in order, all with `share` or all with `steps`
        max_steps: steps of the run; 0 or less takes the sum of `steps`

    Returns:
        Increasing step numbers; the last one is the number of steps of the run.

    Raises:
        ValueError: If there is no stage, shares do not sum to 1, steps do not sum to `max_steps`, or a stage would be
            empty.
    """
    if not stages:
        raise ValueError("stages is empty; give at least one stage with a context_length and share: 1.0")
    shares, steps = [stage.share for stage in stages], [stage.steps for stage in stages]
    if all(share is not None for share in shares) and all(count is None for count in steps):
        total = sum(share or 0.0 for share in shares)
        if abs(total - 1.0) > SHARE_TOLERANCE:
            raise ValueError(f"the shares of the stages sum to {total:g}, not to 1")
        if max_steps < 1:
            raise ValueError("stages with shares need max_steps or max_tokens; give one of them")
        ends = [round(sum(share or 0.0 for share in shares[: i + 1]) * max_steps) for i in range(len(stages))]
    elif all(count is not None for count in steps) and all(share is None for share in shares):
        ends = np.cumsum([count or 0 for count in steps]).tolist()
        if 0 < max_steps != ends[-1]:
            raise ValueError(f"the steps of the stages sum to {ends[-1]}, but max_steps is {max_steps}; use shares")
    else:
        raise ValueError("give every stage a share, or every stage its steps, not a mixture")
    if any(end <= start for start, end in zip([0, *ends], ends, strict=False)):
        raise ValueError(f"a stage has no step: they would end at steps {ends}; give more steps or fewer stages")
    return ends


def steps_for_positions(
    positions: int,
    stages: Sequence[Stage],
    micro_batches_per_step: int,
    tokens_per_micro_batch: int,
    ramp: BatchSizeWarmup | None = None,
) -> int:
    """Return the smallest number of steps that reads a number of positions, with the small batches of the warm-up.

    Args:
        positions: positions of the run
        stages: stages of the run
        micro_batches_per_step: accumulation steps times processes
        tokens_per_micro_batch: positions of a micro-batch at full size
        ramp: growth of the batch

    Raises:
        ValueError: As `stage_ends` and `plan_batches`.
    """
    contexts, full = [stage.context_length for stage in stages], micro_batches_per_step * tokens_per_micro_batch
    fewest = -(-positions // full)
    if ramp is None or ramp.share == 0:
        return fewest

    def read_in(steps: int) -> int:
        ends = stage_ends(stages, steps)
        return plan_batches(contexts, ends, micro_batches_per_step, tokens_per_micro_batch, ramp).positions_before(
            steps
        )

    # A warm-up over the share s of the steps loses fewer positions than these steps would read.
    most = int((fewest + 1) / (1 - ramp.share)) + 2
    return fewest + bisect_left(range(fewest, most), positions, key=read_in)


def stage_at(step: int, ends: Sequence[int]) -> int:
    """Return the number of the stage in which the update number `step` (0 first) happens; the last one afterwards."""
    return min(int(np.searchsorted(ends, step, side="right")), len(ends) - 1)


def stack_rows(rows: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Stack rows of `PackedRows` into a batch; `sample_id` and `epoch` become the columns `sample_ids` and `epochs`."""
    names = {"sample_id": "sample_ids", "epoch": "epochs"}
    return {names.get(name, name): torch.stack([row[name] for row in rows]) for name in rows[0]}


def long_tokens(stages: Sequence[Stage], number: int) -> int:
    """Return the number of tokens above which a document is long in a stage.

    Raises:
        ValueError: If the first stage has no `long_tokens`.
    """
    chosen = stages[number].long_tokens
    if chosen is None and number == 0:
        raise ValueError("long_share in the first stage needs long_tokens: there is no stage before it")
    return stages[number - 1].context_length if chosen is None else chosen


def stage_weights(
    shards: TokenShards, stages: Sequence[Stage], number: int, source_weights: Mapping[str, float]
) -> np.ndarray:
    """Return how often a stage reads each document per epoch in expectation, float64 `[documents]`.

    Args:
        shards: the corpus
        stages: stages of the run
        number: number of the stage
        source_weights: the run's weights; those of the stage win over them

    Raises:
        ValueError: If weights or `long_share` do not fit the corpus.
    """
    stage = stages[number]
    by_source = {**source_weights, **(stage.source_weights or {})}
    weights = weights_by_source(by_source, shards.source_names, shards.source_of)
    if stage.long_share is None:
        return weights
    is_long = shards.lengths > long_tokens(stages, number)
    return favor_long(weights, positions_of(shards.lengths, stage.context_length), is_long, stage.long_share)


class StagedBatches(Dataset[dict[str, torch.Tensor]]):
    """All micro-batches of a run as one list; item i is computed from i alone.

    A stage reads whole epochs of rows at its context length. The first epoch of a later stage is what the stage before
    has left of its own, under the weights of the new stage (see `rest_of_epoch`): as far as the weights allow, no
    text is read twice before all text has been read once.

    Args:
        shards: the corpus
        stages: stages of the run
        ends: steps at which they end, from `stage_ends`
        micro_batches_per_step: accumulation steps times processes
        tokens_per_micro_batch: positions of a micro-batch at full size, a multiple of every context length
        seed: seed of the order of the documents
        specials: ids of [CLS], [SEP] and [PAD]
        source_weights: samples per epoch of some sources; 1 for the others
        ramp: growth of the batch at the start of the run

    Attributes:
        plan: sizes of the micro-batches

    Raises:
        ValueError: If a context length does not divide `tokens_per_micro_batch`, or weights or `long_share` do not fit
            the corpus.
    """

    def __init__(
        self,
        shards: TokenShards,
        stages: Sequence[Stage],
        ends: Sequence[int],
        micro_batches_per_step: int,
        tokens_per_micro_batch: int,
        seed: int,
        specials: SpecialIds,
        source_weights: Mapping[str, float] | None = None,
        ramp: BatchSizeWarmup | None = None,
    ) -> None:
        contexts = [stage.context_length for stage in stages]
        self.plan = plan_batches(contexts, ends, micro_batches_per_step, tokens_per_micro_batch, ramp)
        self.shards, self.stages, self.ends = shards, list(stages), list(ends)
        self.micro_batches_per_step, self.tokens_per_micro_batch = micro_batches_per_step, tokens_per_micro_batch
        self.seed, self.specials, self.source_weights = seed, specials, dict(source_weights or {})
        # For each stage the row number at which each of its epochs starts, as far as it has been needed.
        self._epoch_starts: list[list[int]] = [[0] for _ in stages]
        self._first_epochs: dict[int, tuple[int, np.ndarray | None]] = {0: (0, None)}
        self._cache: dict[tuple[int, int], PackedRows] = {}
        for number in range(len(stages)):
            self._log_long_documents(number, self._weights(number))
        self._log_ramp()

    def __len__(self) -> int:
        """Return the number of micro-batches of the run."""
        return self.ends[-1] * self.micro_batches_per_step

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return a micro-batch as masking in the training step reads it, and its number as `micro_batch`.

        The columns are those of `PackedRows`, stacked; a row's id and epoch become `sample_ids` and `epochs` `[B]`.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"micro-batch {index} is outside 0..{len(self) - 1}")
        rows = [epoch[row] for epoch, row in self.rows_of(index)]
        return {**stack_rows(rows), "micro_batch": torch.tensor(index)}

    def rows_of(self, index: int) -> list[tuple[PackedRows, int]]:
        """Return the rows of a micro-batch as (epoch, row number within it)."""
        stage, first, count = self.plan.locate(index)
        return [self._find_row(stage, row) for row in range(first, first + count)]

    def positions_before(self, step: int) -> int:
        """Return how many positions, padding included, the first `step` updates read on all processes."""
        return self.plan.positions_before(step)

    def documents_of(self, index: int) -> list[str]:
        """Return where the documents of a micro-batch lie, as `shard:number`, for messages."""
        found = [number for rows, row in self.rows_of(index) for number in rows.documents_of(row).tolist()]
        return [self.shards.name_of(number) for number in dict.fromkeys(found)]

    def _find_row(self, stage: int, row: int) -> tuple[PackedRows, int]:
        """Return the epoch that holds a stage's row and the row's number within it."""
        starts = self._epoch_starts[stage]
        while starts[-1] <= row:
            starts.append(starts[-1] + len(self._epoch(stage, len(starts) - 1)))
        number = int(np.searchsorted(starts, row, side="right")) - 1
        return self._epoch(stage, number), row - starts[number]

    def _epoch(self, stage: int, number: int) -> PackedRows:
        """Return the rows of a stage's epoch `number`; the two last used are kept."""
        key = (stage, number)
        if key not in self._cache:
            first, order = self._first_epoch(stage)
            if number or order is None:
                order = epoch_samples(self._weights(stage), self.seed, first + number)
            context = self.stages[stage].context_length
            rows = PackedRows(self.shards, context, self.seed, first + number, self.specials, order)
            while len(self._cache) > 1:
                self._cache.pop(next(iter(self._cache)))
            self._cache[key] = rows
        return self._cache[key]

    def _first_epoch(self, stage: int) -> tuple[int, np.ndarray | None]:
        """Return the epoch in which a stage starts and its samples of that epoch, in order (None = all)."""
        if stage not in self._first_epochs:
            before = self._stop_of(stage - 1)
            if len(before.left):
                found = before.epoch, rest_of_epoch(self._weights(stage), self.seed, before)
            else:
                found = before.epoch + 1, None
            self._first_epochs[stage] = found
        return self._first_epochs[stage]

    def _stop_of(self, stage: int) -> EpochRest:
        """Return where a stage stops: what it leaves of its last epoch, and what has been read of that epoch so far."""
        rows, row = self._find_row(stage, self.plan.rows_in(stage) - 1)
        used = rows.samples_before(row + 1)
        if stage and self._first_epoch(stage)[0] == rows.epoch:
            earlier = self._stop_of(stage - 1)
            used = np.union1d(used, earlier.used) if earlier.epoch == rows.epoch else used
        return EpochRest(rows.epoch, rows.samples_from(row + 1), used, self._weights(stage))

    def _weights(self, number: int) -> np.ndarray:
        """Return how often a stage reads each document per epoch in expectation, float64 `[documents]`."""
        return stage_weights(self.shards, self.stages, number, self.source_weights)

    def _log_long_documents(self, number: int, weights: np.ndarray) -> None:
        """Log how often the long documents of a stage with `long_share` are read."""
        stage = self.stages[number]
        if stage.long_share is None:
            return
        is_long = (self.shards.lengths > long_tokens(self.stages, number)) & (weights > 0)
        per_epoch = float((weights * positions_of(self.shards.lengths, stage.context_length)).sum())
        epochs = self.plan.rows_in(number) * stage.context_length / per_epoch
        logger.info(
            "stage %d: %g of the positions from %d documents over %d tokens, each read %.2f times on average in %.2f "
            "epochs",
            number + 1,
            stage.long_share,
            int(is_long.sum()),
            long_tokens(self.stages, number),
            epochs * float(weights[is_long].mean()) if is_long.any() else 0.0,
            epochs,
        )

    def _log_ramp(self) -> None:
        """Log how many positions the growing batch takes away from the run."""
        full = self.ends[-1] * self.micro_batches_per_step * self.tokens_per_micro_batch
        read = self.positions_before(self.ends[-1])
        if read < full:
            small = self.plan.rows * self.plan.context_length < self.tokens_per_micro_batch
            logger.info(
                "the batch grows over the first %d steps: %d steps read %d positions, %d fewer than full batches would",
                int(self.plan.first_step[1:][small].max()),
                self.ends[-1],
                read,
                full - read,
            )

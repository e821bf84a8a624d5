"""Stages of one run and the batches that follow from them: which rows the micro-batch number i holds, by arithmetic.

Legend: a step is an optimizer update; it takes `micro_batches_per_step` = accumulation x processes micro-batches of
`tokens_per_micro_batch` positions each, whatever the stage's context length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from .packing import PackedRows, SpecialIds
from .shards import TokenShards

SHARE_TOLERANCE = 1e-6


@dataclass
class Stage:
    """One stage of pre-training; weights, optimizer and clock go on from the stage before.

    Attributes:
        context_length: Tokens a row.
        share: Share of the run's steps, or
        steps: Number of steps; give one of the two, the same one in every stage.
        global_rope_theta: RoPE base of the global layers in this stage; None leaves the model's.
        local_rope_theta: RoPE base of the local layers in this stage; None leaves the model's.
    """

    context_length: int
    share: float | None = None
    steps: int | None = None
    global_rope_theta: float | None = None
    local_rope_theta: float | None = None


def stage_ends(stages: Sequence[Stage], max_steps: int) -> list[int]:
    """Return the step after the last one of each stage.

    Args:
        stages: Stages in order, all with `share` or all with `steps`.
        max_steps: Steps of the run; 0 or less takes the sum of `steps`.

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


def stage_at(step: int, ends: Sequence[int]) -> int:
    """Return the number of the stage in which the update number `step` (0 first) happens; the last one afterwards."""
    return min(int(np.searchsorted(ends, step, side="right")), len(ends) - 1)


def stack_rows(rows: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Stack rows of `PackedRows` into a batch; `sample_id` and `epoch` become the columns `sample_ids` and `epochs`."""
    names = {"sample_id": "sample_ids", "epoch": "epochs"}
    return {names.get(name, name): torch.stack([row[name] for row in rows]) for name in rows[0]}


class StagedBatches(Dataset[dict[str, torch.Tensor]]):
    """All micro-batches of a run as one list; item i is computed from i alone.

    A stage reads whole epochs of rows at its context length. The first epoch of a later stage holds the documents that
    the stage before has not reached, so that no text is read twice before all text has been read once.

    Args:
        shards: The corpus.
        stages: Stages of the run.
        ends: Steps at which they end, from `stage_ends`.
        micro_batches_per_step: Accumulation steps times processes.
        tokens_per_micro_batch: Positions of a micro-batch, a multiple of every context length.
        seed: Seed of the order of the documents.
        specials: Ids of [CLS], [SEP] and [PAD].

    Raises:
        ValueError: If a context length does not divide `tokens_per_micro_batch`.
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
    ) -> None:
        for stage in stages:
            if stage.context_length < 3 or tokens_per_micro_batch % stage.context_length:
                raise ValueError(
                    f"tokens_per_micro_batch={tokens_per_micro_batch} is not a multiple of the context_length="
                    f"{stage.context_length} of a stage; make it one, so that every micro-batch has as many tokens"
                )
        self.shards, self.stages, self.ends = shards, list(stages), list(ends)
        self.micro_batches_per_step, self.tokens_per_micro_batch = micro_batches_per_step, tokens_per_micro_batch
        self.seed, self.specials = seed, specials
        # For each stage the row number at which each of its epochs starts, as far as it has been needed.
        self._epoch_starts: list[list[int]] = [[0] for _ in stages]
        self._cache: dict[tuple[int, int], PackedRows] = {}

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
        stage = stage_at(index // self.micro_batches_per_step, self.ends)
        count = self.tokens_per_micro_batch // self.stages[stage].context_length
        first = (index - self._stage_start(stage)) * count
        return [self._find_row(stage, row) for row in range(first, first + count)]

    def documents_of(self, index: int) -> list[str]:
        """Return where the documents of a micro-batch lie, as `shard:number`, for messages."""
        found = [number for rows, row in self.rows_of(index) for number in rows.documents_of(row).tolist()]
        return [self.shards.name_of(number) for number in dict.fromkeys(found)]

    def _stage_start(self, stage: int) -> int:
        """Return the number of the first micro-batch of a stage."""
        return (self.ends[stage - 1] if stage else 0) * self.micro_batches_per_step

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
            first, rest = self._start_of(stage)
            order = rest if number == 0 else None
            context = self.stages[stage].context_length
            rows = PackedRows(self.shards, context, self.seed, first + number, self.specials, order)
            while len(self._cache) > 1:
                self._cache.pop(next(iter(self._cache)))
            self._cache[key] = rows
        return self._cache[key]

    def _start_of(self, stage: int) -> tuple[int, np.ndarray | None]:
        """Return the epoch in which a stage starts and the documents left in it (None = all)."""
        if stage == 0:
            return 0, None
        before = stage - 1
        count = self.tokens_per_micro_batch // self.stages[before].context_length
        last = (self._stage_start(stage) - self._stage_start(before)) * count - 1
        rows, row = self._find_row(before, last)
        rest = rows.documents_from(row + 1)
        return (rows.epoch, rest) if len(rest) else (rows.epoch + 1, None)

"""How many rows a micro-batch has in each part of a run: context lengths of the stages, and a batch that grows.

The batch grows in rows per micro-batch, not in micro-batches per step. So a step stays `micro_batches_per_step` items
of the list of batches, and skipping, resuming and distributing them need no special case.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BatchSizeWarmup:
    """A batch that starts small and grows in equal stairs to its full size over the first steps.

    Source: our default, a warm-up over 3 % of the run in the recipes; the paper does not mention one.

    Attributes:
        share: share of the run's steps over which the batch grows; 0 = full size from the start
        start: first size as a share of the full one, and the height of a stair: 0.25 gives 1/4, 2/4, 3/4, full
    """

    share: float = 0.0
    start: float = 0.25

    def __post_init__(self) -> None:
        if not (0 <= self.share < 1 and 0 < self.start <= 1):
            raise ValueError(
                f"batch_size_warmup_share={self.share} must be from 0 to below 1 and "
                f"batch_size_warmup_start={self.start} above 0, at most 1"
            )

    def stairs(self, max_steps: int) -> list[tuple[int, float]]:
        """Return (first step, share of the full size) of each stair, the full size last."""
        end = min(round(self.share * max_steps), max_steps - 1)
        count = math.ceil(1 / self.start - 1e-9) - 1
        return [(round(end * i / count), (i + 1) * self.start) for i in range(count)] + [(end if count else 0, 1.0)]


@dataclass(frozen=True)
class BatchPlan:
    """Parts of a run in which all micro-batches have the same shape.

    Attributes:
        first_step: int64 `[parts + 1]`, the step at which each part starts, and the end of the run
        stage: int64 `[parts]`, number of the stage
        rows: int64 `[parts]`, rows of a micro-batch
        context_length: int64 `[parts]`, positions of a row
        micro_batches_per_step: accumulation steps times processes
    """

    first_step: np.ndarray
    stage: np.ndarray
    rows: np.ndarray
    context_length: np.ndarray
    micro_batches_per_step: int

    def positions_before(self, step: int) -> int:
        """Return how many positions the first `step` updates read."""
        steps = np.clip(step - self.first_step[:-1], 0, np.diff(self.first_step))
        return int((steps * self.rows * self.context_length).sum()) * self.micro_batches_per_step

    def rows_in(self, stage: int) -> int:
        """Return how many rows a stage reads in all."""
        own = self.stage == stage
        return int((np.diff(self.first_step) * self.rows)[own].sum()) * self.micro_batches_per_step

    def locate(self, micro_batch: int) -> tuple[int, int, int]:
        """Return the stage of a micro-batch, the number of its first row within the stage, and its rows."""
        part = int(np.searchsorted(self.first_step, micro_batch // self.micro_batches_per_step, side="right")) - 1
        earlier = (self.stage[:part] == self.stage[part]) * np.diff(self.first_step)[:part] * self.rows[:part]
        within = micro_batch - int(self.first_step[part]) * self.micro_batches_per_step
        first = int(earlier.sum()) * self.micro_batches_per_step + within * int(self.rows[part])
        return int(self.stage[part]), first, int(self.rows[part])


def plan_batches(
    context_lengths: Sequence[int],
    ends: Sequence[int],
    micro_batches_per_step: int,
    tokens_per_micro_batch: int,
    ramp: BatchSizeWarmup | None = None,
) -> BatchPlan:
    """Plan the sizes of all micro-batches.

    Args:
        context_lengths: positions of a row in each stage
        ends: steps at which the stages end
        micro_batches_per_step: accumulation steps times processes
        tokens_per_micro_batch: positions of a micro-batch at full size, a multiple of every context length
        ramp: growth of the batch; None is full size from the start. A stair is rounded to whole rows, at least one.

    Returns:
        The plan.

    Raises:
        ValueError: If a context length does not divide `tokens_per_micro_batch`, or leaves no room for a token.
    """
    for context in context_lengths:
        if context < 3 or tokens_per_micro_batch % context:
            raise ValueError(
                f"tokens_per_micro_batch={tokens_per_micro_batch} is not a multiple of the context_length="
                f"{context} of a stage; make it one, so that every micro-batch has as many tokens"
            )
    stairs = (ramp or BatchSizeWarmup()).stairs(ends[-1])
    starts = sorted({0, *ends[:-1], *(step for step, _ in stairs)})
    stage = np.searchsorted(ends, starts, side="right")
    size = np.array([max(share for step, share in stairs if step <= start) for start in starts])
    context = np.array(context_lengths, dtype=np.int64)[stage]
    rows = np.maximum(1, np.rint(size * tokens_per_micro_batch / context)).astype(np.int64)
    return BatchPlan(np.array([*starts, ends[-1]]), stage, rows, context, micro_batches_per_step)

"""Learning-rate schedules: the damped cosine and three standard arms, all on the clock `step / max_steps`."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import get_scheduler

from .arguments import PretrainingArguments

logger = logging.getLogger(__name__)

SCHEDULES = ("damped_cosine", "cosine", "linear", "warmup_stable_decay")


@dataclass(frozen=True)
class DampedCosine:
    """Damped cosine: `(U + V) / 2 + (U - V) / 2 * cos(pi * (2N - 1) * p)` between two straight lines U and V.

    U falls from 1 to `gamma`, V from a half to `floor`.
    Source: Chinese ModernBERT (arXiv 2510.12285), section 3.3, outer form, the lines after its one public
    transcription; the values are our defaults.

    Attributes:
        cycles: number N of peaks (the first at p = 0) and of valleys (the last at p = 1), >= 1. Our default: 3.
        gamma: share of the peak that the upper line keeps at p = 1, `floor <= gamma <= 1`. Our default: 0.5.
        floor: final learning rate as a share of the peak, in [0, 0.5]. Our default: 0.1.

    Raises:
        ValueError: At construction, for values under which the lines cross or the cosine has no cycle.
    """

    cycles: int = 3
    gamma: float = 0.5
    floor: float = 0.1

    def __post_init__(self) -> None:
        if self.cycles < 1:
            raise ValueError(f"cycles={self.cycles} gives no cosine; give the number of peaks, 1 or more")
        if not 0.0 <= self.floor <= 0.5:
            raise ValueError(f"floor={self.floor} (final over peak learning rate) is outside [0, 0.5]")
        if not self.floor <= self.gamma <= 1.0:
            raise ValueError(
                f"gamma={self.gamma} is outside [{self.floor}, 1]: under eta_min/eta_max={self.floor} the upper line "
                f"falls below the lower one; use gamma >= {self.floor}"
            )

    def __call__(self, progress: float) -> float:
        """Return the learning rate at `progress` in [0, 1] as a share of the peak."""
        upper = 1.0 - (1.0 - self.gamma) * progress
        lower = 0.5 * (1.0 - progress) + self.floor * progress
        swing = math.cos(math.pi * (2 * self.cycles - 1) * progress)
        return (upper + lower) / 2 + (upper - lower) / 2 * swing


@dataclass(frozen=True)
class WarmupStableDecay:
    """Flat at 1, then `1 - sqrt` down to `floor` in the last share of the run.

    Source: Haegele et al. 2024, "Scaling laws and compute-optimal training beyond fixed training durations" (1 - sqrt).
    Transformers' own form starts its warm-up at the floor instead of at 0, so it is not used.

    Attributes:
        decay_share: share of the steps after warm-up in which the rate falls, in (0, 1]. Our default: 0.2.
        floor: final learning rate as a share of the peak
    """

    decay_share: float = 0.2
    floor: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.decay_share <= 1.0:
            raise ValueError(f"decay_share={self.decay_share} is outside (0, 1]")

    def __call__(self, progress: float) -> float:
        """Return the share of the peak learning rate at `progress` in [0, 1]."""
        fallen = max(0.0, (progress - (1.0 - self.decay_share)) / self.decay_share)
        return self.floor + (1.0 - self.floor) * (1.0 - math.sqrt(min(1.0, fallen)))


@dataclass(frozen=True)
class LinearWarmup:
    """Linear warm-up from 0 to 1 over `warmup_steps`, then `decay` on p = (s - S_w) / (S - S_w).

    Attributes:
        warmup_steps: steps S_w of the warm-up, 0 <= S_w < max_steps
        max_steps: steps S of the whole run, all stages together
        decay: function of p in [0, 1] that gives the share of the peak learning rate
    """

    warmup_steps: int
    max_steps: int
    decay: Callable[[float], float]

    def __post_init__(self) -> None:
        if not 0 <= self.warmup_steps < self.max_steps:
            raise ValueError(
                f"warmup_steps={self.warmup_steps} does not leave a step of max_steps={self.max_steps}; "
                "use fewer warm-up steps, or a share such as 0.05"
            )

    def __call__(self, step: int) -> float:
        """Return the share of the peak learning rate for the update number `step` (0 first)."""
        if step < self.warmup_steps:
            return step / self.warmup_steps
        return self.decay(min(1.0, (step - self.warmup_steps) / (self.max_steps - self.warmup_steps)))


def build_schedule(
    name: str,
    optimizer: Optimizer,
    warmup_steps: int,
    max_steps: int,
    floor: float = 0.1,
    cycles: int = 3,
    gamma: float = 0.5,
    decay_share: float = 0.2,
) -> LRScheduler:
    """Build a learning-rate scheduler whose only state is the step.

    Args:
        name: `damped_cosine`, `cosine` (half a cosine down to `floor`), `linear` (down to 0) or
            `warmup_stable_decay` (flat, then 1 - sqrt down to `floor`)
        optimizer: the optimizer; the learning rate of each group is its peak
        warmup_steps: steps of linear warm-up
        max_steps: steps of the run
        floor: final learning rate as a share of the peak (not used by `linear`)
        cycles: peaks of the damped cosine
        gamma: upper line of the damped cosine at the end
        decay_share: share of the run in which `warmup_stable_decay` decays. Our default: 0.2.

    Raises:
        ValueError: For an unknown name or values that do not fit together.
    """
    if name not in SCHEDULES:
        raise ValueError(f"lr_schedule='{name}' is not known; choose one of {', '.join(SCHEDULES)}")
    if name == "damped_cosine":
        return _from_step(optimizer, LinearWarmup(warmup_steps, max_steps, DampedCosine(cycles, gamma, floor)))
    if name == "linear":
        return get_scheduler("linear", optimizer, warmup_steps, max_steps)
    if name == "cosine":
        options = {"min_lr_rate": floor}
        return get_scheduler(
            "cosine_with_min_lr", optimizer, warmup_steps, max_steps, scheduler_specific_kwargs=options
        )
    return _from_step(optimizer, LinearWarmup(warmup_steps, max_steps, WarmupStableDecay(decay_share, floor)))


def schedule_of_run(options: PretrainingArguments, optimizer: Optimizer, max_steps: int) -> LRScheduler:
    """Build the schedule that a run's options ask for; see `build_schedule`."""
    steps = (options.get_warmup_steps(max_steps), max_steps)
    shape = (options.lr_floor, options.lr_cycles, options.lr_gamma, options.lr_decay_share)
    return build_schedule(options.lr_schedule, optimizer, *steps, *shape)


def _from_step(optimizer: Optimizer, schedule: LinearWarmup) -> LambdaLR:
    """Wrap a schedule; a function, unlike an object, is not pickled into the scheduler's checkpoint."""
    return LambdaLR(optimizer, lambda step: schedule(step))

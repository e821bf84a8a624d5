"""What watches over a run: bad batches (not a number, or a jump of the loss) and signals of a scheduler.

Both decide at the end of a step and from numbers that every process has, so all processes do the same.
"""

import logging
import math
import os
import signal
import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

logger = logging.getLogger(__name__)

ON_BAD_BATCH = ("stop", "skip")
WINDOW_STEPS = 100
# A median of a few losses at the very start says little. Our default.
MINIMUM_STEPS = 20
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
# EX_TEMPFAIL of sysexits.h: the same command, given again, goes on.
EXIT_TO_RESUME = os.EX_TEMPFAIL


@dataclass
class BatchGuard:
    """Judges every step by its loss and gradient norm before the weights change.

    Its only state are the last good losses and the count of skips; both go into each checkpoint, so that a resumed run
    judges and skips as the straight one.

    Attributes:
        action: `stop` or `skip` on a bad step.
        spike_factor: A loss above this many times the median of the last 100 good losses is bad; None: only a loss or
            norm that is not finite is.
        max_skipped: Skipped steps of the whole run after which the next bad one stops it.

    Raises:
        ValueError: At construction, for values out of range.
    """

    action: str = "stop"
    spike_factor: float | None = None
    max_skipped: int = 10
    losses: list[float] = field(default_factory=list)
    skipped: int = 0

    def __post_init__(self) -> None:
        if self.action not in ON_BAD_BATCH:
            raise ValueError(f"on_bad_batch='{self.action}' is not known; choose one of {', '.join(ON_BAD_BATCH)}")
        if self.spike_factor is not None and not self.spike_factor > 1.0:
            raise ValueError(f"spike_factor={self.spike_factor} must be over 1, such as 10; null switches it off")
        if self.max_skipped < 0:
            raise ValueError(f"max_skipped={self.max_skipped} is negative; give 0 or more")

    def judge(self, loss: float, gradient_norm: float | None) -> str | None:
        """Return what is wrong with a step, or None after remembering its loss.

        Args:
            loss: Mean loss of the step over all processes, nats a masked token.
            gradient_norm: Norm before clipping; None if it was not taken.
        """
        if not math.isfinite(loss):
            return f"the loss became {loss}"
        if gradient_norm is not None and not math.isfinite(gradient_norm):
            return f"the gradient norm became {gradient_norm}"
        if self.spike_factor is not None and len(self.losses) >= MINIMUM_STEPS:
            median = statistics.median(self.losses)
            if loss > self.spike_factor * median:
                return f"the loss rose to {loss:.4g}, over {self.spike_factor:g} times the median {median:.4g}"
        self.losses = [*self.losses[1 - WINDOW_STEPS :], loss]
        return None

    @property
    def may_skip(self) -> bool:
        """Whether the next bad step is skipped rather than the end of the run."""
        return self.action == "skip" and self.skipped < self.max_skipped

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint; JSON keeps every digit of a float."""
        return {"losses": self.losses, "skipped": self.skipped}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over the state of a checkpoint."""
        self.losses, self.skipped = [float(loss) for loss in state["losses"]], int(state["skipped"])


class StepLosses:
    """The losses of the micro-batches of one step on one process, kept on the device until the step is judged."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.losses: list[torch.Tensor] = []
        self._generators: tuple[torch.Tensor, torch.Tensor | None] | None = None

    def remember_generators(self) -> None:
        """Remember the states of the generators that dropout draws from, at the start of the step."""
        cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
        self._generators = (torch.get_rng_state(), cuda)

    def restore_generators(self) -> None:
        """Set them back."""
        if self._generators is not None:
            torch.set_rng_state(self._generators[0])
            if self._generators[1] is not None:
                torch.cuda.set_rng_state(self._generators[1])

    def add(self, number: int, loss: torch.Tensor) -> None:
        """Add the loss of a micro-batch, its share of the step's mean."""
        self.numbers.append(number)
        self.losses.append(loss.detach().float())

    def summary(self, device: torch.device) -> torch.Tensor:
        """Return float32 `[1, 3]`: sum, largest share (infinite if not a number), place of that one."""
        losses = torch.stack(self.losses)
        height = torch.nan_to_num(losses, nan=math.inf, posinf=math.inf)
        worst = height.argmax()
        return torch.stack([losses.sum(), height[worst], worst.float()]).to(device)[None]

    def clear(self) -> None:
        """Forget the step."""
        self.numbers, self.losses = [], []


class StopOnSignal(TrainerCallback):
    """On SIGTERM or SIGUSR1 (what Slurm sends ahead of the time limit) save at the end of the step and stop.

    A second signal does what it did before, so that a run can still be ended at once.

    Attributes:
        received: Name of the signal that ended the run, or None.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._flagged: str | None = None
        self._previous: dict[int, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Listen; only the main thread of a process may."""
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._flag) for number in STOP_SIGNALS}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save and stop if any process has been signalled."""
        flagged = self._flagged
        if distributed.is_initialized() and distributed.get_world_size() > 1:
            one = torch.tensor(float(flagged is not None), device=args.device)
            distributed.all_reduce(one, distributed.ReduceOp.MAX)
            flagged = flagged or ("a signal to another process" if one.item() else None)
        if flagged is not None:
            logger.warning("%s: saving a checkpoint at step %d and stopping", flagged, state.global_step)
            self.received = flagged
            control.should_save = control.should_training_stop = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Listen no longer."""
        self.stop_listening()

    def stop_listening(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _flag(self, number: int, frame: FrameType | None) -> None:
        self._flagged = signal.Signals(number).name
        self.stop_listening()


def heed_only_the_parent(worker: int) -> None:
    """Let a worker of the data loader live through a signal to the whole job: the last step still needs its batches.

    Only SIGTERM from the process that started it ends a worker; to ignore the signal altogether would leave that
    process waiting for its workers for ever when it ends by an error.
    """
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    # Blocked in every thread, the signal waits for the one that asks who sent it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=_wait_for_parent, args=(os.getppid(),), daemon=True).start()


def _wait_for_parent(parent: int) -> None:
    """End this process when its parent says so."""
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
        pass
    os._exit(0)


def describe_documents(documents: Sequence[str], most: int) -> str:
    """Return the first documents of a list in one line."""
    return ", ".join(documents[:most]) + (" ..." if len(documents) > most else "")

"""What watches over a run: a step whose loss or gradient is not finite, or whose loss jumps, changes no weight.

A step is judged by the loss that it began with, so nobody has seen what its update made of the weights. Before they
are saved they are looked at themselves, with the loss that they give. Judged are numbers that every process has, so
all processes do the same.
"""

import logging
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from transformers import TrainerState

from ..soundness import first_unsound
from .arguments import PretrainingArguments

logger = logging.getLogger(__name__)

ON_BAD_BATCH = ("stop", "skip")
WINDOW_STEPS = 100
# A median of a few losses at the very start says little. Our default.
MINIMUM_STEPS = 20
MESSAGE_DOCUMENTS = 8
JUMP = "the loss rose"
WEIGHTS = "the weights"


@dataclass
class BatchGuard:
    """Judges every step by its loss and gradient norm before the weights change.

    Its only state are the last good losses and the count of skips; both go into each checkpoint, so that a resumed run
    judges and skips as the straight one.

    Attributes:
        action: `stop` or `skip` on a bad step
        spike_factor: a loss above this many times the median of the last 100 good losses is bad; None: only a loss or
            norm that is not finite is
        max_skipped: skipped steps of the whole run after which the next bad one stops it

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
            loss: mean loss of the step over all processes, nats per masked token
            gradient_norm: norm before clipping; None if it was not taken
        """
        if not math.isfinite(loss):
            return f"the loss became {loss}"
        if gradient_norm is not None and not math.isfinite(gradient_norm):
            return f"the gradient norm became {gradient_norm}"
        if self.spike_factor is not None and len(self.losses) >= MINIMUM_STEPS:
            median = statistics.median(self.losses)
            if loss > self.spike_factor * median:
                return f"{JUMP} to {loss:.4g}, over {self.spike_factor:g} times the median {median:.4g}"
        self.losses = [*self.losses[1 - WINDOW_STEPS :], loss]
        return None

    @classmethod
    def of_run(cls, args: PretrainingArguments) -> "BatchGuard":
        """Return the guard that a run's arguments ask for."""
        return cls(args.on_bad_batch, args.spike_factor, args.max_skipped)

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

    def summary(self, gradient_norm: torch.Tensor | float | None, device: torch.device) -> torch.Tensor:
        """Return float32 `[1, 4]`: sum, largest share (infinite if not a number), index of that one, gradient norm."""
        losses = torch.stack(self.losses)
        height = torch.nan_to_num(losses, nan=math.inf, posinf=math.inf)
        worst = height.argmax()  # indexing by it would wait for the device
        norm = getattr(gradient_norm, "full_tensor", lambda: gradient_norm)()  # of sharded weights it is sharded too
        if not isinstance(norm, torch.Tensor):
            norm = torch.full((), norm or 0.0, device=losses.device)
        parts = (losses.sum(), height.amax(), worst.float(), norm.float().to(losses.device))
        return torch.stack(parts).to(device)[None]

    def worst(self, sums: torch.Tensor, process: int) -> int:
        """Return the micro-batch with the largest loss, from the summaries of all processes, `[processes, 4]`."""
        worst_process = int(sums[:, 1].argmax())
        # Processes take the micro-batches of a step in turn.
        return self.numbers[int(sums[worst_process, 2])] - process + worst_process


class StepGuard:
    """The guard of a run: it collects the losses of each step, judges the step, and says what becomes of a bad one.

    Args:
        batch_guard: judges by loss and gradient norm
        documents_of: names the documents of a micro-batch by its number
        write: appends a record to the run's log

    Attributes:
        sample: inputs of a micro-batch of the last good step, to try weights with that are about to be saved
    """

    def __init__(
        self,
        batch_guard: BatchGuard,
        documents_of: Callable[[int], Sequence[str]],
        write: Callable[[TrainerState, dict[str, Any]], None],
    ) -> None:
        self.batch_guard, self.losses = batch_guard, StepLosses()
        self.sample: dict[str, Any] | None = None
        self._documents_of, self._write, self._newest = documents_of, write, None

    def as_logs(self) -> dict[str, int]:
        """Return the number of skipped steps, where steps may be skipped."""
        return {"skipped_steps": self.batch_guard.skipped} if self.batch_guard.action == "skip" else {}

    def begin_step(self) -> None:
        """Forget the step before."""
        self.losses = StepLosses()

    def begin_micro_batch(self, inputs: Mapping[str, Any]) -> None:
        """Remember its inputs, and at the start of a step the generators where a jump may call for its repetition."""
        self._newest = dict(inputs)
        if not self.losses.numbers and self.batch_guard.spike_factor is not None:
            self.losses.remember_generators()

    def find_problem(self, gradient_norm: Any, accelerator: Accelerator) -> tuple[str, int] | None:
        """Return what is wrong with the step and its worst micro-batch, or None; every process must call this.

        Here alone a step waits for the device: losses and norm come in one transfer.
        """
        sums: Any = accelerator.gather(self.losses.summary(gradient_norm, accelerator.device))
        sums = sums.cpu()
        norm = None if gradient_norm is None else float(sums[accelerator.process_index, 3])
        problem = self.batch_guard.judge(float(sums[:, 0].mean()), norm)
        if problem is None:
            self.sample = self._newest
        return None if problem is None else (problem, self.losses.worst(sums, accelerator.process_index))

    def handle(self, problem: str, micro_batch: int, state: TrainerState, save: Callable[[], None]) -> None:
        """Write down a bad step and count it, or end the run; `save` is called where a jump of the loss ends it.

        Raises:
            ValueError: If the step is not to be skipped.
        """
        guard, documents = self.batch_guard, self._documents_of(micro_batch)
        action = "skipped" if guard.may_skip else "stopped"
        record = {"bad_step": problem, "action": action, "micro_batch": micro_batch, "documents": documents}
        self._write(state, {"step": state.global_step + 1, **record})
        shown = ", ".join(documents[:MESSAGE_DOCUMENTS]) + (" ..." if len(documents) > MESSAGE_DOCUMENTS else "")
        message = f"{problem} at step {state.global_step} in micro-batch {micro_batch}, documents {shown}"
        if guard.may_skip:
            guard.skipped += 1
            logger.warning("%s; the step is skipped (%d of %d)", message, guard.skipped, guard.max_skipped)
            return
        if problem.startswith(JUMP):
            save()
        limit = f"; {guard.skipped} steps were skipped before" if guard.skipped else ""
        raise ValueError(
            f"{message}{limit}; the last checkpoint is from before it: --resume auto --on_bad_batch skip leaves the "
            "step out, or start a new run from that checkpoint (--model) with a lower learning_rate"
        )


def refuse_unsound_state(
    loss: torch.Tensor | None,
    parts: Mapping[str, Iterable[tuple[str, torch.Tensor]]],
    accelerator: Accelerator,
    when: str,
) -> None:
    """Refuse to save what would be of no use; every process must call this.

    Args:
        loss: what the weights give on a batch of which others gave a good loss; None where no step was good yet
        parts: what would be saved, as (name, tensor), by what it is
        accelerator: of the run
        when: ends the sentence about what is wrong

    Raises:
        ValueError: On every process, if the loss or a tensor of one is not finite.
    """
    found = [] if loss is None or loss.isfinite() else [f"the weights give a loss of {float(loss)}"]
    for what, named in parts.items():
        # The second moments of large gradients may be over what a sum of squares can hold.
        name = first_unsound(named, 2.0 if what == WEIGHTS else math.inf)
        found += [] if name is None else [f"{what} hold values that are not finite ({name})"]
    anywhere: Any = accelerator.reduce(torch.tensor(float(len(found)), device=accelerator.device))
    if anywhere:
        raise ValueError(f"{'; '.join(found) or 'another process has lost its weights'} {when}")

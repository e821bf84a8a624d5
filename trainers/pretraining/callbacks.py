"""Callbacks of a run: the RoPE bases of each stage, and the signals of a scheduler."""

import logging
import os
import signal
import threading
from types import FrameType
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from ..data.stages import Stage, stage_at

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
# EX_TEMPFAIL of sysexits.h: the same command, given again, goes on.
EXIT_TO_RESUME = os.EX_TEMPFAIL


class StageCallback(TrainerCallback):
    """Give the model the RoPE bases of the stage that a step belongs to; the model reads them at every forward.

    Args:
        stages: stages of the run
        ends: steps at which they end
    """

    def __init__(self, stages: list[Stage], ends: list[int]) -> None:
        self.stages, self.ends = stages, ends

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the bases of the last step of a run that goes on: after its last one no step would set them."""
        if state.global_step:
            self._set_bases(state.global_step - 1, kwargs["model"].config)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the bases of the step."""
        self._set_bases(state.global_step, kwargs["model"].config)

    def _set_bases(self, step: int, config: Any) -> None:
        """Write the bases of a step's stage into the configuration; where they are set already nothing happens."""
        stage = self.stages[stage_at(step, self.ends)]
        bases = {"full_attention": stage.global_rope_theta, "sliding_attention": stage.local_rope_theta}
        for layer_type, theta in bases.items():
            if theta is not None and config.rope_parameters[layer_type]["rope_theta"] != theta:
                config.rope_parameters[layer_type]["rope_theta"] = theta
                logger.info("step %d: RoPE base of %s layers is now %g", step, layer_type, theta)


class StopOnSignal(TrainerCallback):
    """On SIGTERM or SIGUSR1 (what Slurm sends ahead of the time limit) save at the end of the step and stop.

    A second signal does what it did before, so that a run can still be ended at once.

    Attributes:
        received: name of the signal that ended the run, or None
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

"""The steps between two log lines, so that a skipped step leaves no trace in the mean loss that is logged."""

from typing import Any

import torch


class LogWindow:
    """Keeps what the Trainer's running sum of the loss was before a step, and how many steps count.

    Attributes:
        steps: Steps since the last log line.
        skipped: Those of them that were skipped.
        z_loss: Sum of the z-loss terms of the steps that count.
    """

    def __init__(self) -> None:
        self.steps = self.skipped = 0
        self.z_loss: torch.Tensor | float = 0.0
        self._before: tuple[torch.Tensor, torch.Tensor | float] | None = None

    def begin_step(self, loss_sum: torch.Tensor) -> None:
        """Remember the sums at the start of a step."""
        self.steps += 1
        self._before = (loss_sum.clone(), self.z_loss)

    def take_back_step(self, loss_sum: torch.Tensor) -> None:
        """Set the sums, the Trainer's in place, to what they were before the step."""
        if self._before is None:
            raise RuntimeError("no step has begun; this is a defect of the trainer")
        self.skipped += 1
        loss_sum.copy_(self._before[0])
        self.z_loss = self._before[1]

    def correct(self, logs: dict[str, Any], with_z_loss: bool) -> None:
        """Make the Trainer's figures of the window means over the steps that count, and start a new window.

        Where every step was skipped there is no loss to log.
        """
        counted = self.steps - self.skipped
        if not counted:
            logs.pop("loss")
        elif self.skipped:
            logs["loss"] *= self.steps / counted
        if with_z_loss and counted:
            logs["z_loss"] = round(float(self.z_loss) / counted, 6)
        self.steps = self.skipped = 0
        self.z_loss = 0.0

"""One JSON object a line for everything a run logs; a resumed run continues the file as if it had never stopped."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ...runtime.files import write_text_atomically
from ...runtime.token_rows import IGNORED_LABEL, begins_run

LOG_FILE = "training_log.jsonl"


def read_training_log(path: str | Path) -> list[dict[str, Any]]:
    """Read the lines of a log, or of the log in a run's folder; a last line cut off by a crash is left out.

    Raises:
        FileNotFoundError: If there is no log.
        ValueError: If a line other than the last is broken.
    """
    file = Path(path) / LOG_FILE if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there; give the folder of a run, or its {LOG_FILE}")
    lines = file.read_text(encoding="utf-8").split("\n")
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            if line.strip():
                records.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(f"{file}:{number} is not JSON ({error})") from error
    return records


class TrainingLogCallback(TrainerCallback):
    """Append every log of the main process to a JSON-lines file.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the file, or keep of an earlier run's what lies before the checkpoint that it goes on from."""
        if not state.is_world_process_zero:
            return
        old = read_training_log(self.path) if self.path.exists() and state.global_step else []
        kept = [json.dumps(record, ensure_ascii=False) for record in old if record["step"] <= state.global_step]
        write_text_atomically(self.path, "".join(f"{line}\n" for line in kept))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write one line."""
        if logs:
            self.write(state, {"step": state.global_step, **logs})

    def write(self, state: TrainerState, record: dict[str, Any]) -> None:
        """Append a line of any content; `step` must be the number that the running step will have at its end."""
        if state.is_world_process_zero:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")


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


def masked_words(word_ids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Number the words of the labelled tokens: neighbours share a number exactly if they belong to one word.

    Args:
        word_ids: integer `[B, L]`.
        labels: integer `[B, L]`, -100 where there is nothing to predict.

    Returns:
        int64 `[M]`, in reading order, starting at 0.
    """
    rows, columns = np.nonzero(labels != IGNORED_LABEL)
    return np.cumsum(begins_run(word_ids[rows, columns], rows)) - 1


class TrainingAccuracy:
    """Masked tokens and masked words that the model had right since the last log line."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.tokens = self.right_tokens = self.words = self.right_words = 0

    def observe(self, predictions: torch.Tensor, labels: torch.Tensor, words: np.ndarray) -> None:
        """Add a micro-batch.

        Args:
            predictions: int64 `[M]`, the ids with the highest score at the labelled positions, in reading order.
            labels: int64 `[M]`, the right ids.
            words: int64 `[M]`, see `masked_words`.
        """
        right = (predictions == labels).cpu().numpy()
        if not right.size:
            return
        first = np.flatnonzero(begins_run(words))
        self.tokens += right.size
        self.right_tokens += int(right.sum())
        self.words += first.size
        self.right_words += int(np.logical_and.reduceat(right, first).sum())

    def as_logs(self) -> dict[str, float]:
        """Return the shares and forget the counts; empty if no batch was seen."""
        if not self.tokens:
            return {}
        logs = {"token_accuracy": self.right_tokens / self.tokens, "word_accuracy": self.right_words / self.words}
        self._clear()
        return {name: round(value, 5) for name, value in logs.items()}

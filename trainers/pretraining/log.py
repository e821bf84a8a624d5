"""One JSON object per line for everything a run logs; a resumed run continues the file as if it had never stopped."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ...runtime.files import require_shape, write_text_atomically
from ...runtime.token_rows import begins_run
from ..data.stages import StagedBatches, stage_at
from ..masking.feedback_callback import labelled_logits
from .batches import BatchFacts
from .throughput import SpeedMeter

LOG_FILE = "training_log.jsonl"
# Of runs with causal micro-batches: the loss of either kind, and what share of the micro-batches was causal.
MASKED_LOSS, CAUSAL_LOSS, CAUSAL_SHARE = "loss_mlm", "loss_causal", "causal_share"


def read_training_log(path: str | Path) -> list[dict[str, Any]]:
    """Read the lines of a log, or of the log in a run's folder; a last line cut off by a crash is left out.

    Raises:
        FileNotFoundError: If there is no log.
        ValueError: If a line other than the last is broken, or one is no object with a step.
    """
    file = Path(path) / LOG_FILE if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there; give the folder of a run, or its {LOG_FILE}")
    lines = file.read_text(encoding="utf-8").split("\n")
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise ValueError(f"{file}:{number} is not JSON ({error}); take the line out") from error
        require_shape(record, {"step": int}, f"{file}:{number}")
        records.append(record)
    return records


class TrainingLogCallback(TrainerCallback):
    """Append every log of the main process to a JSON-lines file.

    Args:
        path: the file
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

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Have the last step logged, whatever `logging_steps` is: the log of a whole run ends where the run does."""
        if args.logging_strategy == "steps" and state.global_step >= state.max_steps:
            control.should_log = True

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


class RunLog:
    """What a run measures between two log lines, and the file of the lines.

    Args:
        output: the run's folder
        batches: micro-batches of the run
        meter: measures its speed

    Attributes:
        file: writes the lines
        window: the steps since the last line
        accuracy: of sampled micro-batches
    """

    def __init__(self, output: Path, batches: StagedBatches, meter: SpeedMeter) -> None:
        self.batches, self.meter, self.file = batches, meter, TrainingLogCallback(output / LOG_FILE)
        self.window, self.accuracy = LogWindow(), TrainingAccuracy()

    def begin_step(
        self, args: TrainingArguments, state: TrainerState, loss_sum: torch.Tensor, has_plain_head: bool
    ) -> None:
        """Begin a step; where it is logged and has logits of the plain head, its first micro-batch is sampled."""
        self.meter.begin()
        self.window.begin_step(loss_sum)
        step = state.global_step + 1
        is_logged = step % state.logging_steps == 0 or (step == 1 and args.logging_first_step)
        is_logged |= step == state.max_steps
        self.accuracy.is_due = has_plain_head and is_logged and args.logging_strategy == "steps"

    def observe_batch(self, facts: BatchFacts) -> None:
        """Count a micro-batch that the step takes."""
        self.meter.observe(facts.work)
        if self.accuracy.is_due:
            self.accuracy.sample(facts.words)

    def complete(self, logs: dict[str, Any], step: int, mean: Callable[[torch.Tensor], Any]) -> None:
        """Add all of it to a training log and start anew; see `LogWindow.correct`."""
        if self.window.steps:
            self.window.correct(logs, mean)
            logs |= {**self.accuracy.as_logs(), **self.meter.as_logs()}
            logs["stage"] = stage_at(step - 1, self.batches.ends) + 1
            logs["positions_seen"] = self.batches.positions_before(step)


class LogWindow:
    """Keeps what the running sums of the loss and its parts were before a step, and how many steps count.

    Attributes:
        steps: steps since the last log line
        skipped: those of them that were skipped
        parts: sum of each part of the loss over the steps that count, by its name in the log
    """

    def __init__(self) -> None:
        self.steps = self.skipped = 0
        self.parts: dict[str, torch.Tensor] = {}
        self._before: tuple[torch.Tensor, dict[str, torch.Tensor]] = (torch.zeros(()), {})

    def begin_step(self, loss_sum: torch.Tensor) -> None:
        """Remember the sums at the start of a step."""
        self.steps += 1
        self._before = (loss_sum.clone(), dict(self.parts))

    def add(self, name: str, part: torch.Tensor) -> None:
        """Add a part of the loss of a micro-batch, scaled as the loss is."""
        self.parts[name] = part.detach() + self.parts.get(name, 0.0)

    def add_kind(self, loss: torch.Tensor, is_causal: bool, share: float) -> None:
        """Add the loss of a micro-batch, its part of the step's, to that of its kind.

        Every process names both kinds at each micro-batch, since means are taken over all of them.

        Args:
            loss: scaled as the step's loss is
            is_causal: its kind
            share: one by the micro-batches that a process takes in a step
        """
        for name, counts in ((MASKED_LOSS, not is_causal), (CAUSAL_LOSS, is_causal)):
            self.add(name, loss if counts else torch.zeros_like(loss))
        self.add(CAUSAL_SHARE, torch.full_like(loss, share * is_causal))

    def take_back_step(self, loss_sum: torch.Tensor) -> None:
        """Set the sums, the Trainer's in place, to what they were before the step."""
        before, self.parts = self._before
        loss_sum.copy_(before)
        self.skipped += 1

    def correct(self, logs: dict[str, Any], mean: Callable[[torch.Tensor], Any]) -> None:
        """Make the Trainer's loss a mean over the steps that count, add the parts, and start a new window.

        Where every step was skipped there is no loss to log. `mean` is taken over all processes: each must call this.
        """
        counted = self.steps - self.skipped
        if not counted:
            logs.pop("loss")
        elif self.skipped:
            logs["loss"] *= self.steps / counted
        for name, summed in self.parts.items():
            logs[name] = float(mean(summed)) / counted
        if CAUSAL_SHARE in logs:
            share = logs[CAUSAL_SHARE] = round(logs[CAUSAL_SHARE], 6)
            for name, own in ((MASKED_LOSS, 1 - share), (CAUSAL_LOSS, share)):
                part = logs.pop(name)
                logs |= {name: part / own} if own else {}
        self.steps = self.skipped = 0
        self.parts = {}


class TrainingAccuracy:
    """Masked tokens and masked words that the model had right since the last log line, in sampled micro-batches.

    Attributes:
        is_due: whether the next micro-batch that is taken is sampled
    """

    def __init__(self) -> None:
        self.is_due = False
        self._words: np.ndarray | None = None
        # Guesses stay on the device until a log line is due, for to read them is to wait.
        self._seen: list[tuple[torch.Tensor, np.ndarray]] = []

    def sample(self, words: np.ndarray) -> None:
        """Remember the words of a micro-batch; see `masked_words`."""
        self._words, self.is_due = words, False

    def observe_sample(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add the micro-batch if it was sampled; see `labelled_logits`."""
        words, self._words = self._words, None
        if words is not None:
            own_logits, own_labels = labelled_logits(logits, labels)
            self.observe(own_logits.argmax(-1), own_labels, words)

    def observe(self, predictions: torch.Tensor, labels: torch.Tensor, words: np.ndarray) -> None:
        """Add a micro-batch.

        Args:
            predictions: int64 `[M]`, the ids with the highest score at the labelled positions, in reading order
            labels: int64 `[M]`, the right ids; more of either than there are words are fillers
            words: integer `[M]`, see `masked_words`
        """
        if words.size:
            self._seen.append(((predictions == labels)[: words.size], words))

    def as_logs(self) -> dict[str, float]:
        """Return the shares and forget the counts; empty if no batch was seen."""
        if not self._seen:
            return {}
        tokens = [right.cpu().numpy() for right, _ in self._seen]
        whole = [
            np.logical_and.reduceat(right, np.flatnonzero(begins_run(words)))
            for right, (_, words) in zip(tokens, self._seen, strict=True)
        ]
        self._seen = []
        logs = {"token_accuracy": np.concatenate(tokens).mean(), "word_accuracy": np.concatenate(whole).mean()}
        return {name: round(float(value), 5) for name, value in logs.items()}

"""One JSON object a line for everything a run logs; a resumed run continues the file as if it had never stopped."""

import json
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ...runtime.files import write_text_atomically

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

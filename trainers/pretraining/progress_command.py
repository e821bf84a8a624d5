"""The command `pretrain progress`: how far a run is, in one line."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ...runtime.options import argument

# Log lines whose median is the speed of today: a line beside other work says little. Our default.
RECENT_LINES = 20


@dataclass
class ProgressArguments:
    """Which run to look at."""

    run: str = argument("", "Folder of the run; may stand first.")

    def __post_init__(self) -> None:
        if not self.run:
            raise ValueError("no run is given; name its folder: pretrain progress RUN")


def run_progress(args: ProgressArguments) -> str:
    """Return one line on a run, whether it is going on or not.

    Raises:
        FileNotFoundError: If the folder holds no run.
    """
    from .checkpoints import numbered_checkpoints
    from .log import LOG_FILE, read_training_log
    from .run import FINAL, IDENTITY
    from .run_record import RUN_RECORD

    folder = Path(args.run)
    if not (folder / IDENTITY).is_file():
        raise FileNotFoundError(f"{folder} holds no run of pretrain; give the output_dir of one")
    steps = json.loads((folder / IDENTITY).read_text(encoding="utf-8"))["max_steps"]
    log = folder / LOG_FILE
    records = read_training_log(log) if log.is_file() else []
    # Any checkpoint knows the data, whole or not; to compare hashes would take as long as to read all of them.
    kept = (one / RUN_RECORD for one in (folder / FINAL, *reversed(numbered_checkpoints(folder))))
    record = next((json.loads(file.read_text(encoding="utf-8")) for file in kept if file.is_file()), {})
    line = describe_progress(records, steps, record.get("data", {}).get("tokens"))
    if (folder / FINAL).is_dir():
        return f"{line}; finished"
    return f"{line}; last line {(time.time() - log.stat().st_mtime) / 60:.0f} minutes ago" if records else line


def describe_progress(records: Sequence[Mapping[str, Any]], steps: int, tokens: int | None = None) -> str:
    """Return share, positions, epochs, loss, speed and hours left.

    Args:
        records: lines of the log
        steps: those of the whole run
        tokens: of the training data, which are one epoch; None where that is not known yet
    """
    training = [one for one in records if "loss" in one]
    if not training:
        return f"0.0 % of {steps:,} steps; nothing is logged yet"
    last, recent = training[-1], training[-RECENT_LINES:]
    epochs = f" ({last['positions_seen'] / tokens:.2f} epochs)" if tokens else ""
    evaluated = next((one for one in reversed(records) if "eval_loss" in one), None)
    evaluation = f" (evaluation {evaluated['eval_loss']:.3f} at {evaluated['step']:,})" if evaluated else ""
    speed = median(one["tokens_per_second"] / one["packing_efficiency"] for one in recent)
    before = training[-2] if len(training) > 1 else {"step": 0, "positions_seen": 0}
    by_step = (last["positions_seen"] - before["positions_seen"]) / (last["step"] - before["step"])
    hours = (steps - last["step"]) * by_step / speed / 3600
    return (
        f"{last['step'] / steps:.1%} of {steps:,} steps: {last['positions_seen']:,} positions{epochs}; "
        f"loss {last['loss']:.3f}{evaluation}; {speed:,.0f} positions/s, {hours:.1f} hours left"
    ).replace("%", " %")

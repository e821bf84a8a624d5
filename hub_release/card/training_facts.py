"""What the log of a checkpoint tells for the model card: last values and curves."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.recipes import read_yaml
from ...runtime.text_files import read_text
from ...trainers.pretraining.curves import draw_curves
from ...trainers.pretraining.log import LOG_FILE, read_training_log
from ..checkpoint import AVERAGED, read_json_object, record_folders
from ..provenance import RECIPE

logger = logging.getLogger(__name__)

TRAINER_STATE_FILE = "trainer_state.json"
CURVES_FILE = "training_curves.png"


@dataclass(frozen=True)
class CardRow:
    """One line of a table of the card.

    Attributes:
        english: label in the English section
        chinese: label in the Chinese section
        value: the recorded value as text, the same in both
    """

    english: str
    chinese: str
    value: str


@dataclass(frozen=True)
class LoggedFact:
    """Which logged key becomes which line.

    Attributes:
        keys: names of the key in logs, the first one found counts
        english: label in the English section
        chinese: label in the Chinese section
        digits: decimals of the value; `None` for a count
    """

    keys: tuple[str, ...]
    english: str
    chinese: str
    digits: int | None = None


LOGGED_FACTS = (
    LoggedFact(("global_step", "step"), "Training steps", "训练步数"),
    LoggedFact(("positions_seen",), "Token positions in all batches", "所有批次的词元位置数"),
    LoggedFact(("num_input_tokens_seen",), "Tokens seen", "训练词元数"),
    LoggedFact(("loss",), "Last training loss", "最后的训练损失", 4),
    LoggedFact(("mask_rate",), "Masking rate at the end", "结束时的掩码率", 4),
    LoggedFact(("eval_loss",), "Validation loss", "验证损失", 4),
    LoggedFact(("eval_token_accuracy",), "Masked-token accuracy, validation", "验证集掩码词元准确率", 4),
    LoggedFact(("eval_word_accuracy",), "Masked-word accuracy, validation", "验证集掩码整词准确率", 4),
    LoggedFact(("eval_unigram_word_accuracy",), "The same of a unigram guess", "一元猜测的掩码整词准确率", 4),
)


@dataclass(frozen=True)
class TrainingFacts:
    """What the card tells of the training; empty where nothing was logged.

    Attributes:
        rows: last values of the log
        curves: file of the picture in the release; empty if there is none
    """

    rows: tuple[CardRow, ...] = ()
    curves: str = ""


def read_training(checkpoint: Path, release: Path) -> TrainingFacts:
    """Read the logs of a checkpoint and draw its curves into the release.

    Args:
        checkpoint: what is released, with the logs of its run
        release: the new folder

    Raises:
        ValueError: For a log that is not JSON.
    """
    return TrainingFacts(tuple(training_rows(checkpoint)), _draw_curves(checkpoint, release))


def _draw_curves(checkpoint: Path, release: Path) -> str:
    """Draw what was logged up to the checkpoint and return the picture's name; empty where there is nothing to draw."""
    records = log_lines(checkpoint)
    if not any("loss" in line for line in records):
        return ""
    log = next(folder / LOG_FILE for folder in record_folders(checkpoint) if (folder / LOG_FILE).is_file())
    try:
        draw_curves(log, release / CURVES_FILE, last_step=records[-1].get("step", math.inf))
    except ImportError as error:
        logger.warning("the card gets no curves: %s", error)
        return ""
    return CURVES_FILE


def training_rows(checkpoint: Path) -> Iterator[CardRow]:
    """Yield what the logs of a checkpoint recorded; nothing where there are none."""
    recorded = last_logged_values(checkpoint)
    for fact in LOGGED_FACTS:
        value = next((recorded[key] for key in fact.keys if key in recorded), None)
        if value is None or (fact.digits is None and value <= 0):
            continue  # Trainer writes 0 for tokens that it did not count
        text = f"{value:,.0f}" if fact.digits is None else f"{value:.{fact.digits}f}"
        yield CardRow(fact.english, fact.chinese, text)


def last_logged_values(checkpoint: Path) -> dict[str, float]:
    """Return the last finite value of each number in the logs of a checkpoint folder.

    Read are `trainer_state.json` and, over it, the run's `training_log.jsonl`. Lines after the checkpoint's own step
    are left out, so that an early checkpoint does not carry the numbers of a later one, and so are evaluations of other
    weights.

    Raises:
        ValueError: For a log that is not JSON.
    """
    values: dict[str, float] = {}
    state = _trainer_state(checkpoint)
    for line in [*state.get("log_history", []), state, *log_lines(checkpoint)]:
        values.update(_numbers(line))
    evaluated = is_evaluated(checkpoint)
    return {key: value for key, value in values.items() if evaluated or not key.startswith("eval_")}


def is_evaluated(checkpoint: Path) -> bool:
    """Return whether the run evaluated these weights: it evaluates its last ones, or their average if so told."""
    recipe = checkpoint / RECIPE
    options = read_yaml(read_text(recipe)) if recipe.is_file() else None
    evaluates_average = isinstance(options, dict) and bool(options.get("ema_evaluation"))
    return evaluates_average == (checkpoint.resolve().name == AVERAGED)


def log_lines(checkpoint: Path) -> list[dict[str, Any]]:
    """Return the lines of the first log found, up to the checkpoint's own step; empty if there is none.

    Raises:
        ValueError: For a log that is not JSON.
    """
    last_step = float(_trainer_state(checkpoint).get("global_step", math.inf))
    for folder in record_folders(checkpoint):
        if (folder / LOG_FILE).is_file():
            lines = [line for line in read_training_log(folder / LOG_FILE) if isinstance(line, dict)]
            return [line for line in lines if float(line.get("step", 0)) <= last_step]
    return []


def _trainer_state(checkpoint: Path) -> dict[str, Any]:
    """Return what Trainer wrote into a checkpoint; empty if it did not."""
    path = checkpoint / TRAINER_STATE_FILE
    return read_json_object(path) if path.is_file() else {}


def _numbers(line: dict[str, Any]) -> dict[str, float]:
    """Return the finite numbers of a log line, by key."""
    numbers = {
        key: value for key, value in line.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {key: float(value) for key, value in numbers.items() if math.isfinite(value)}

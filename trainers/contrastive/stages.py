"""Where a run keeps its stages: `stage-0` (before training), `stage-1` ..., and the last one's model as `final`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ...runtime.files import read_record, write_text_atomically
from ...runtime.settings import differing_settings

logger = logging.getLogger(__name__)

# The scores are written last: a folder without them is of a stage that was cut off.
STAGE, SCORES, FINAL = "stage.json", "scores.json", "final"
# What the stages are compared with.
BASELINES = "baselines"


class Scores(Protocol):
    """All results of one model."""

    def save(self, path: Path) -> None:
        """Write them as JSON."""


Kept = TypeVar("Kept", bound=Scores)


def finished_stages(folder: Path) -> list[Path]:
    """Return the folders of the stages that a run has finished, in their order."""
    found = [path.parent for path in folder.glob(f"stage-[0-9]*/{SCORES}")]
    return sorted(found, key=lambda one: int(one.name.removeprefix("stage-")))


def last_stage(folder: Path) -> Path | None:
    """Return the folder of the last stage that a run has finished, None where it has none."""
    return next(reversed(finished_stages(folder)), None)


def keep_scores(
    file: Path, record: Mapping[str, Any], score: Callable[[], Kept], load: Callable[[Path], Kept], overwrite: bool
) -> Kept:
    """Return kept scores where they were made under the same settings, else make and keep them.

    Args:
        file: where they are kept
        record: the settings
        score: makes them
        load: reads what they save
        overwrite: make them in any case
    """
    settings = file.with_suffix(".settings.json")
    is_kept = file.is_file() and settings.is_file() and not overwrite
    if is_kept and not differing_settings(read_record(settings, {}, "delete it to measure again"), record):
        logger.info("%s is there", file)
        return load(file)
    settings.unlink(missing_ok=True)
    scores = score()
    scores.save(file)
    write_text_atomically(settings, json.dumps(dict(record), ensure_ascii=False, indent=1) + "\n")
    logger.info("scored %s", file)
    return scores

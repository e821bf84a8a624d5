"""Where a run keeps its stages: `stage-0` (before training), `stage-1` ..., and the last one's model as `final`."""

from pathlib import Path

# The scores are written last: a folder without them is of a stage that was cut off.
STAGE, SCORES, FINAL = "stage.json", "scores.json", "final"


def finished_stages(folder: Path) -> list[Path]:
    """Return the folders of the stages that a run has finished, in their order."""
    found = [path.parent for path in folder.glob(f"stage-[0-9]*/{SCORES}")]
    return sorted(found, key=lambda one: int(one.name.removeprefix("stage-")))


def last_stage(folder: Path) -> Path | None:
    """Return the folder of the last stage that a run has finished, None where it has none."""
    return next(reversed(finished_stages(folder)), None)

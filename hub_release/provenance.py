"""What a run wrote down about itself, in one file of its release; a part that nobody recorded is absent."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from ..trainers.run_record import RUN_RECORD
from .checkpoint import read_json_object, record_folders, write_json

# As `trainers.pretraining` names them; importing it needs the extra `train`, which a release does without.
IDENTITY, RECIPE = "pretraining.json", "recipe.yaml"
PROVENANCE_FILE = "training_provenance.json"


def write_provenance(checkpoint: Path, release: Path) -> dict[str, Any]:
    """Write `training_provenance.json` where there is something to tell, and return what it holds.

    Parts are `recipe` (name and sha256 of the file in the release), `run` (seeds, masking, stages and all else that
    decides the numbers), `packages` (versions) and `data` (counts and hashes of the prepared text). A release that is
    released again keeps its record.

    Args:
        checkpoint: what is released, with the records of its run.
        release: the new folder, the recipe already in it.

    Raises:
        ValueError: for a record that is not a JSON object.
    """
    earlier = checkpoint / PROVENANCE_FILE
    facts = read_json_object(earlier) if earlier.is_file() else {}
    if (release / RECIPE).is_file():
        facts["recipe"] = {"file": RECIPE, "sha256": hashlib.sha256((release / RECIPE).read_bytes()).hexdigest()}
    # The hashes of shards stand in `data`, whole.
    run = {name: value for name, value in _recorded(checkpoint, IDENTITY).items() if name != "shards"}
    facts.update({"run": run} if run else {})
    facts.update({name: part for name, part in _recorded(checkpoint, RUN_RECORD).items() if part})
    facts = _without_local_folders_in(facts)
    if facts:
        write_json(release / PROVENANCE_FILE, facts)
    return facts


def without_local_folders(text: str) -> str:
    """Return text in which an absolute path keeps only its last part: `/home/me/corpus/a.txt` becomes `a.txt`."""
    return re.sub(r"(?<![\w.:/~-])~?/(?:[^\s/'\",\]]+/)*(?=[^\s/'\",\]])", "", text)


def _without_local_folders_in(value: Any) -> Any:
    """Return a value of JSON in which every text, keys too, has lost absolute folders."""
    if isinstance(value, str):
        return without_local_folders(value)
    if isinstance(value, dict):
        return {without_local_folders(name): _without_local_folders_in(one) for name, one in value.items()}
    return [_without_local_folders_in(one) for one in value] if isinstance(value, list) else value


def _recorded(checkpoint: Path, name: str) -> dict[str, Any]:
    """Return a JSON object that the run wrote: of the checkpoint, else of the run's folder; empty if there is none."""
    for folder in record_folders(checkpoint):
        if (folder / name).is_file():
            return read_json_object(folder / name)
    return {}

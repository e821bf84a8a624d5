"""What a run wrote down about itself, in one file of its release; a part that nobody recorded is absent."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import yaml

from ..trainers.pretraining.run_record import PROVENANCE_FILE, RUN_RECORD
from .checkpoint import read_json_object, record_folders, write_json

# As `trainers.pretraining` names them; importing it needs the extra `train`, which a release does without.
IDENTITY, RECIPE = "pretraining.json", "recipe.yaml"
# What comes before the last part of an absolute path: of POSIX, a home, a file's address, a drive or a share.
_FOLDERS_OF_A_PATH = re.compile(r"^(?:file:|[A-Za-z]:|~[^\\/\s]*)?[\\/](?:.*[\\/])?(?=[^\\/])")
_FOLDERS_IN_TEXT = re.compile(
    r"(?<![\w.:/~\\-])(?:file:|[A-Za-z]:|~)?(?:/+|(?<=:)\\+)(?:[^\s\\/'\",\]]+[\\/]+)*(?=[^\s\\/'\",\]])"
)


def write_provenance(checkpoint: Path, release: Path, name: str = "") -> dict[str, Any]:
    """Write `training_provenance.json` where there is something to tell, and return what it holds.

    Parts are `recipe` (name and sha256 of the file in the release), `run` (seeds, masking, stages and all else that
    decides the numbers), `packages` (versions), `data` (counts and hashes of the prepared text) and, where it went on
    from another model, `start` (which one, and the record of that one's run). A release that is released again keeps
    its record.

    Args:
        checkpoint: what is released, with the records of its run
        release: the new folder, the recipe already in it
        name: `owner/name` on the Hub, kept so that what is trained from this release can name it; any other name is not

    Raises:
        ValueError: For a record that is not a JSON object.
    """
    earlier = checkpoint / PROVENANCE_FILE
    facts = read_json_object(earlier) if earlier.is_file() else {}
    if (release / RECIPE).is_file():
        facts["recipe"] = {"file": RECIPE, "sha256": hashlib.sha256((release / RECIPE).read_bytes()).hexdigest()}
    # The hashes of shards are in `data`.
    run = {name: value for name, value in _recorded(checkpoint, IDENTITY).items() if name != "shards"}
    facts.update({"run": run} if run else {})
    facts.update({name: part for name, part in _recorded(checkpoint, RUN_RECORD).items() if part})
    facts = without_local_folders(facts)
    facts.pop("name", None)
    facts.update({"name": name} if re.fullmatch(r"[\w.-]+/[\w.-]+", name) else {})
    if facts:
        write_json(release / PROVENANCE_FILE, facts)
    return facts


def base_model_of(provenance: dict[str, Any]) -> str:
    """Return the name on the Hub of the model that a run went on from; empty where it is not known."""
    start = provenance.get("start")
    before = start.get("before") if isinstance(start, dict) else None
    return str(before.get("name", "")) if isinstance(before, dict) else ""


def without_local_folders(value: Any) -> Any:
    r"""Return a value of JSON in which every text, keys too, has lost the folders of absolute paths.

    A text that is a path keeps its last part, whatever its folders are called: `/home/me/my texts/a.txt`,
    `file:///home/me/a.txt` and `C:\Users\me\a.txt` become `a.txt`. In other text a path ends at a space.
    """
    if isinstance(value, str):
        return _FOLDERS_IN_TEXT.sub("", _FOLDERS_OF_A_PATH.sub("", value))
    if isinstance(value, dict):
        return {without_local_folders(name): without_local_folders(one) for name, one in value.items()}
    return [without_local_folders(one) for one in value] if isinstance(value, list) else value


def yaml_without_local_folders(text: str) -> str:
    """Return the text of a YAML file whose values, keys and comments have lost the folders of absolute paths.

    All else stays as it is written.

    Raises:
        ValueError: For text that is not YAML, in one line.
    """
    try:
        scalars = [token for token in yaml.scan(text) if isinstance(token, yaml.ScalarToken)]
    except yaml.YAMLError as error:
        raise ValueError(f"not valid YAML ({' '.join(str(error).split())}); mend it, or remove it") from error
    for scalar in reversed(scalars):
        value = _FOLDERS_OF_A_PATH.sub("", scalar.value)
        if value != scalar.value:
            is_plain = scalar.plain and re.fullmatch(r"[^\W\d][\w.-]*", value) and yaml.safe_load(value) == value
            written = value if is_plain else json.dumps(value, ensure_ascii=False)
            written += "\n" if scalar.style in ("|", ">") else ""  # the last line break belongs to such a block
            text = text[: scalar.start_mark.index] + written + text[scalar.end_mark.index :]
    return _FOLDERS_IN_TEXT.sub("", text)


def _recorded(checkpoint: Path, name: str) -> dict[str, Any]:
    """Return a JSON object that the run wrote: of the checkpoint, else of the run's folder; empty if there is none."""
    for folder in record_folders(checkpoint):
        if (folder / name).is_file():
            return read_json_object(folder / name)
    return {}

"""Prediction files in the form that the CLUE site takes.

Source: the site's own notes on submission (2021-09): `<task>_predict.json`, with 10 or 11 after the name where a task's
test set was renewed; classification one JSON object per line in the order of the test file; reading one JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...runtime.files import write_text_atomically


def submission_text(task: Mapping[str, Any], predictions: Sequence[Any], ids: Sequence[Any]) -> str:
    """Return the content of a prediction file.

    Args:
        task: `kind`, `reader` and `labels` of the task
        predictions: one per row, in the order of the test file
        ids: the rows' own ids

    Raises:
        ValueError: If there are not as many predictions as rows.
    """
    if len(predictions) != len(ids):
        raise ValueError(f"{len(predictions)} predictions for {len(ids)} rows; every row of the test file needs one")
    if task["kind"] == "answer" or task["reader"] == "chid":
        return json.dumps(dict(zip(map(str, ids), predictions, strict=True)), ensure_ascii=False, indent=4) + "\n"
    lines = [{"id": one, "label": _written(task, found)} for one, found in zip(ids, predictions, strict=True)]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _written(task: Mapping[str, Any], found: Any) -> Any:
    """Return a prediction as the site writes it: label or labels, the number (of a choice), or entities by type."""
    if task["kind"] in ("choice", "regression"):
        return found
    if task["kind"] == "multi_label":
        return [task["labels"][one] for one in found]
    if task["kind"] != "entities":
        return task["labels"][found]
    entities: dict[str, list[list[int]]] = {}
    for key in found:
        start, end, kind = key.split(":", 2)
        entities.setdefault(kind, []).append([int(start), int(end) - 1])
    return entities


def write_submissions(folder: Path, result: Mapping[str, Any]) -> list[Path]:
    """Write the files of one task, from the run that scored best on its selection rows.

    Args:
        folder: where the files go
        result: a task's result, as the `clue` command collects it
    """
    about = result["data"]
    best = max(result["runs"], key=lambda run: run["selection"])
    written = []
    for split, name in about["submissions"].items():
        if split in best["predictions"] and len(best["predictions"][split]) == about["rows"][split]:
            text = submission_text(about, best["predictions"][split], about["ids"][split])
            write_text_atomically(folder / name, text)
            written.append(folder / name)
    return written

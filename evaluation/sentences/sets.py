"""What a sentence set is, and the sets of the table sets.yaml: where each lies, its fields, where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

Kind = Literal["scores", "triplets", "inference", "choice", "passages", "answers", "ranking"]
FIELDS_OF_KIND: dict[str, int] = {
    "scores": 3,
    "triplets": 2,
    "inference": 3,
    "choice": 4,
    "passages": 2,
    "answers": 3,
    "ranking": 0,
}


@dataclass(frozen=True)
class SentenceSet:
    """One set of sentence pairs.

    Attributes:
        name: name in `SENTENCE_SETS` or the file's name
        title: what it is, in a few words
        kind: `scores` (two texts, a number), `triplets` (anchor, positive, and a negative or a list of them),
            `inference` (premise, hypothesis, label), `choice` (anchor, two texts, which of them is closer),
            `passages` (query, passage that belongs to it), `answers` (question, passage, the answers that people found
            in it, if any) or `ranking` (a folder of files, `t2ranking`)
        fields: names of the fields in the order of the kind
        files: split -> file, relative to the folder of the data
        highest: label that means "the same"; 0 is always the lowest
        licence: licence as stated by its source
        source: where it comes from
        clue_task: name of the CLUE task whose archive, in the folder of the data or next to it, holds the files
    """

    name: str
    title: str
    kind: Kind
    fields: tuple[str, ...]
    files: Mapping[str, str]
    highest: float = 1.0
    licence: str = "none stated"
    source: str = ""
    clue_task: str = ""


def _read_table(path: Path) -> dict[str, SentenceSet]:
    """Return the sets of a YAML file whose keys are the attributes of `SentenceSet`."""
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: SentenceSet(name, **{**row, "fields": tuple(row["fields"])}) for name, row in rows.items()}


SENTENCE_SETS: dict[str, SentenceSet] = _read_table(Path(__file__).with_suffix(".yaml"))
"""Sets by name, in the layout of the data folder; the source of a file's split is its own."""

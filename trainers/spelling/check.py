"""The command `spell check`: texts in, each with its edits out, in the same order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime.options import argument

if TYPE_CHECKING:
    from ...modeling.spelling_chinese_modernbert import Correction

# Texts that are read before any is written. Our default.
TEXTS_AT_ONCE = 1_024
DECIMALS = 6
EDITS, CORRECTED = "edits", "corrected"


@dataclass
class SpellCheckArguments:
    """Which texts to correct, and how."""

    model: str = argument("", "Folder of a corrector; may stand first.", group="Model and data")
    text: list[str] = argument(list, "Texts to correct; the result is printed.")
    data: str = argument("", "File of texts: a line each, or .jsonl with a field; may end in .gz.")
    field: str = argument("text", "Field of the texts in .jsonl.")
    confusion: list[str] = argument(list, "Files of confusion sets; nothing else is corrected then.", names=True)
    threshold: float = argument(-1.0, "Least probability of an edit; -1: the model's own.", within="[-1, 1]")

    output_file: str = argument("corrections.jsonl", "File to write, where data are given.", group="Output")
    overwrite: bool = argument(False, "Replace output_file.")

    bf16: bool = argument(False, "Weights in bfloat16.", group="Machine")
    use_cpu: bool = argument(False, "Do not use a GPU.")

    def __post_init__(self) -> None:
        """Check what can be checked before a model is loaded.

        Raises:
            ValueError: If no model is given, or not one of `text` and `data`, or a number is out of range.
            FileExistsError: If the output is there and `overwrite` is off.
        """
        from ...runtime.settings import require_ranges

        require_ranges(self)
        if not self.model:
            raise ValueError("no model is given; name the folder of a corrector: spell check MODEL")
        if bool(self.text) == bool(self.data):
            raise ValueError("give either text, or data with a file of texts")
        if self.data and Path(self.output_file).exists() and not self.overwrite:
            raise FileExistsError(f"{self.output_file} is there; give another output_file, or --overwrite")


def run_check(arguments: SpellCheckArguments) -> str:
    """Correct texts.

    Returns:
        The file of corrections, or of words of the command line the corrections themselves: JSON lines, each the row as
        it was read with `corrected` and `edits`, a list of `offset`, `from`, `to` and `probability`.

    Raises:
        FileNotFoundError: If the model, the texts or a confusion set is not there.
        ValueError: If the folder is no corrector, or a row is wrong; with file and line.
    """
    from ...runtime.files import open_atomically

    correct = _Corrector(arguments)
    if arguments.text:
        return "\n".join(correct([{"text": text} for text in arguments.text], "text"))
    count = 0
    with open_atomically(arguments.output_file) as stream:
        rows = _read_rows(Path(arguments.data), arguments.field)
        while chunk := list(islice(rows, TEXTS_AT_ONCE)):
            for line in correct(chunk, arguments.field if _is_json(arguments.data) else "text"):
                stream.write(line + "\n")
            count += len(chunk)
        if not count:
            raise ValueError(f"{arguments.data} holds no text")
    return arguments.output_file


class _Corrector:
    """Rows in, lines of JSON out.

    Args:
        arguments: options of the command
    """

    def __init__(self, arguments: SpellCheckArguments) -> None:
        from ...evaluation.spelling import read_confusion
        from .loading import trained_corrector

        self.confusion = read_confusion(arguments.confusion).table if arguments.confusion else None
        self.threshold = None if arguments.threshold < 0 else arguments.threshold
        self.model, self.tokenizer = trained_corrector(arguments.model, arguments.bf16, arguments.use_cpu)

    def __call__(self, rows: Sequence[dict[str, Any]], field: str) -> list[str]:
        texts = [str(row[field]) for row in rows]
        found = self.model.correct(texts, self.tokenizer, threshold=self.threshold, confusion=self.confusion)
        return [_as_line(row, correction) for row, correction in zip(rows, found, strict=True)]


def _as_line(row: dict[str, Any], correction: Correction) -> str:
    edits = [
        {
            "offset": edit.offset,
            "from": edit.source,
            "to": edit.target,
            "probability": round(edit.probability, DECIMALS),
        }
        for edit in correction.edits
    ]
    return json.dumps({**row, CORRECTED: correction.text, EDITS: edits}, ensure_ascii=False)


def _read_rows(file: Path, field: str) -> Iterator[dict[str, Any]]:
    """Yield rows with their text; an empty line of a plain file is an empty text, so that lines stay lines."""
    from ...runtime.text_files import read_lines
    from ...tokenization.documents import checked_field, read_json_rows

    if not file.is_file():
        raise FileNotFoundError(f"no texts at {file}; give a file of lines, or .jsonl with the field '{field}'")
    if not _is_json(str(file)):
        yield from ({"text": line} for _, line in read_lines(file))
        return
    for location, row in read_json_rows(file):
        checked_field(row, field, location)
        if taken := {CORRECTED, EDITS} & set(row):
            raise ValueError(f"{location} has a field '{min(taken)}', which the correction would replace; rename it")
        yield row


def _is_json(name: str) -> bool:
    from ...runtime.text_files import COMPRESSIONS

    return any(name.lower().endswith(f".jsonl{compression}") for compression in ("", *COMPRESSIONS))

"""The command `spell check`: texts in, each with its edits out, in the same order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime.options import argument

if TYPE_CHECKING:
    from ...modeling.spelling_chinese_modernbert import Correction

# Characters of the texts that are read before any is written, so that memory does not grow with them. Our default.
CHARACTERS_AT_ONCE = 100_000
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
    threshold: float | None = argument(None, "Least probability of an edit; null: the model's own.", within="[0, 1]")

    output_file: str = argument("corrections.jsonl", "File to write, where data are given.", group="Output")
    overwrite: bool = argument(False, "Replace output_file.")

    bf16: bool = argument(False, "Weights in bfloat16.", group="Machine")
    use_cpu: bool = argument(False, "Do not use a GPU.")

    def __post_init__(self) -> None:
        """Check what can be checked before a model is loaded.

        Raises:
            ValueError: If no model is given, or not one of `text` and `data`, a number is out of range, or an option
                would not act.
            FileExistsError: If the output is there and `overwrite` is off.
        """
        from ...evaluation.texts_command import check_new_file
        from ...runtime.settings import require_ranges
        from ...tokenization.documents import is_json_lines

        require_ranges(self)
        if not self.model:
            raise ValueError("no model is given; name the folder of a corrector: spell check MODEL")
        if bool(self.text) == bool(self.data):
            raise ValueError("give either text, or data with a file of texts")
        if self.field != SpellCheckArguments.field and not is_json_lines(self.data):
            raise ValueError(f"field={self.field} is read of data in .jsonl alone; leave it out")
        if self.text and (self.overwrite or self.output_file != SpellCheckArguments.output_file):
            raise ValueError("what is given as text is printed; give no output_file and no overwrite, or data")
        if self.data:
            check_new_file(self.output_file, self.overwrite)


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

    if arguments.text:
        return "\n".join(_Corrector(arguments)([{"text": text} for text in arguments.text], "text"))
    file, field = Path(arguments.data), arguments.field
    if not sum(1 for _ in _read_rows(file, field)):  # a wrong row, too, is named before a model is loaded
        raise ValueError(f"{file} holds no text")
    correct = _Corrector(arguments)
    with open_atomically(arguments.output_file) as stream:
        for chunk in _chunks(_read_rows(file, field), field):
            for line in correct(chunk, field):
                stream.write(line + "\n")
    return arguments.output_file


def _chunks(rows: Iterable[dict[str, Any]], field: str) -> Iterator[list[dict[str, Any]]]:
    """Yield rows in lists, each done as soon as its texts have `CHARACTERS_AT_ONCE`."""
    chunk: list[dict[str, Any]] = []
    characters = 0
    for row in rows:
        chunk.append(row)
        characters += 1 + len(row[field])
        if characters >= CHARACTERS_AT_ONCE:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


class _Corrector:
    """Rows in, lines of JSON out.

    Args:
        arguments: options of the command
    """

    def __init__(self, arguments: SpellCheckArguments) -> None:
        from .loading import confusions_of, trained_corrector

        confusion = confusions_of(arguments.confusion)
        self.confusion = None if confusion is None else confusion.table
        self.threshold = arguments.threshold
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
    from ...tokenization.documents import checked_field, is_json_lines, read_json_rows

    if not file.is_file():
        raise FileNotFoundError(f"no texts at {file}; give a file of lines, or .jsonl with the field '{field}'")
    if not is_json_lines(file):
        yield from ({"text": line} for _, line in read_lines(file))
        return
    for location, row in read_json_rows(file):
        checked_field(row, field, location)
        if taken := {CORRECTED, EDITS} & set(row):
            raise ValueError(f"{location} has a field '{min(taken)}', which the correction would replace; rename it")
        yield row

"""What the commands that work on texts share: where texts come from, where rows go, which model, how it is shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal

from ..runtime.options import argument

# Texts that go through a command together, so that a file of any length fits. Source: our default.
TEXTS_AT_ONCE = 64


@dataclass
class TextsArguments:
    """Which model works on which texts, and where its rows go."""

    model: str = argument(MISSING, "Folder or Hub name of a masked language model.", group="Model and texts")
    texts: list[str] = argument(list, "Texts; or give input_file.")
    input_file: str = argument("", "A text a line, or JSON lines (.jsonl); alone or with .gz.")
    text_field: str = argument("text", "Field of the text in JSON lines; the other fields are kept.")
    trust_remote_code: bool = argument(False, "Allow the model's own code from its folder or the Hub.")

    output_file: str = argument("", "File to write: JSON lines. If empty: to the screen.", group="Output")
    overwrite: bool = argument(False, "Replace output_file.")
    form: Literal["auto", "table", "jsonl"] = argument("auto", "On the screen; auto: a table on a terminal alone.")

    dtype: Literal["float32", "bfloat16"] = argument("float32", "Numbers of weights and states.", group="Machine")
    tokens_per_batch: int = argument(8_192, "Tokens of one forward.", within="[1, inf)")
    use_cpu: bool = argument(False, "Do not use a GPU.")

    def __post_init__(self) -> None:
        """Check what can be checked before a model is loaded.

        Raises:
            ValueError: If there is no text or two sources of texts, or the output contradicts itself or promises what
                is not done.
            FileNotFoundError: If there is no input file.
            FileExistsError: If the output is there and `overwrite` is off.
        """
        if bool(self.texts) == bool(self.input_file):
            raise ValueError(f"{len(self.texts)} texts and input_file={self.input_file!r} are given; give one of both")
        if self.input_file and not Path(self.input_file).is_file():
            raise FileNotFoundError(f"no texts at {self.input_file}; give a file with a text a line, or .jsonl")
        if self.output_file and self.form == "table":
            raise ValueError(f"form=table is for the screen, output_file={self.output_file} holds JSON lines; give one")
        if self.output_file:
            check_new_file(self.output_file, self.overwrite)


def check_new_file(name: str, overwrite: bool) -> None:
    """Refuse a file of results before any work is done.

    Raises:
        ValueError: If its name promises a compression, which is not done.
        FileExistsError: If it is there and `overwrite` is off.
    """
    from ..runtime.text_files import COMPRESSIONS

    if Path(name).suffix.lower() in COMPRESSIONS:
        raise ValueError(f"output_file={name} is written uncompressed; give a name that ends in .jsonl")
    if Path(name).exists() and not overwrite:
        raise FileExistsError(f"{name} is there; give another output_file, or --overwrite")


def read_texts(args: TextsArguments, *added: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where each text stands, and its row; blank lines are left out, and a null is an empty text.

    Args:
        args: of the command
        added: fields that the command adds to a row

    Raises:
        ValueError: With file and line, for a line that cannot be read or has a field that is added; if there is none.
    """
    is_empty = True
    for place, row in _rows(args):
        if taken := sorted(set(added) & set(row)):
            raise ValueError(f"{place} has a field '{taken[0]}', which the result would replace; rename it")
        is_empty = False
        yield place, row
    if is_empty:
        raise ValueError(f"{args.input_file} holds no text")


def check_texts(args: TextsArguments, *added: str) -> None:
    """Read every row once, so that a wrong one is named before a model is loaded; see `read_texts`."""
    for _ in read_texts(args, *added):
        pass


def _rows(args: TextsArguments) -> Iterator[tuple[str, dict[str, Any]]]:
    from ..runtime.text_files import read_lines
    from ..tokenization.documents import document_text, is_json_lines, read_json_rows

    file = Path(args.input_file)
    if not args.input_file:
        yield from ((f"text {number}", {args.text_field: text}) for number, text in enumerate(args.texts, start=1))
    elif is_json_lines(file):
        for place, row in read_json_rows(file):
            yield place, {**row, args.text_field: document_text(row, args.text_field, place)}
    else:
        yield from ((f"{file}:{number}", {args.text_field: line}) for number, line in read_lines(file) if line.strip())


def in_groups(rows: Iterable[Any], size: int = TEXTS_AT_ONCE) -> Iterator[list[Any]]:
    """Yield rows in lists of so many."""
    group: list[Any] = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def write_rows(args: TextsArguments, rows: Iterable[dict[str, Any]], shown: Callable[[dict[str, Any]], str]) -> str:
    """Write rows as they come to the file or keep them for the screen, and return what the command prints.

    Args:
        args: of the command
        rows: plain values
        shown: how a row looks on a terminal
    """
    from ..runtime.files import open_atomically

    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    if args.output_file:
        with open_atomically(args.output_file) as stream:
            stream.writelines(f"{line}\n" for line in lines)
        return f"rows: {args.output_file}"
    if args.form == "jsonl" or (args.form == "auto" and not sys.stdout.isatty()):
        return "\n".join(lines)
    return "\n\n".join(map(shown, rows))

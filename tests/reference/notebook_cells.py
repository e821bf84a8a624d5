"""The code cells of a notebook as blocks of a page, with the comments that end the text above them.

A cell is Python, or lines for a shell: `!chinese-modernbert ...`, in which `{NAME}` is the value of a Python name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .page_blocks import Block, PageError, notes_above

NAME = re.compile(r"\{(\w*)\}")


def cells_of(path: Path) -> list[Block]:
    """Return the code cells of a notebook.

    Raises:
        PageError: For a cell of both Python and shell, for a magic, and for a comment as `blocks_of` has it.
    """
    blocks, above = [], ""
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"], start=1):
        source, page = "".join(cell["source"]), f"{path.name}, cell {number}"
        if cell["cell_type"] == "code":
            lines = above.rstrip("\n").split("\n")
            blocks.append(_block(source, page, tuple(notes_above(lines, len(lines), page))))
        above = source if cell["cell_type"] == "markdown" else ""
    return blocks


def _block(source: str, page: str, notes: tuple[tuple[str, str], ...]) -> Block:
    """Return a cell as a block; a line of shell that ends in a backslash goes on in the next."""
    lines = source.split("\n")
    begun = [line for line, before in zip(lines, ["", *lines], strict=False) if not before.endswith("\\")]
    if any(line.startswith("%") for line in lines):
        raise PageError(f"{page} has a magic, which is not run; write Python or a line that begins with !")
    if not any(line.startswith("!") for line in lines):
        return Block(page, 0, "python", source, notes)
    if not all(line.startswith("!") for line in begun):
        raise PageError(f"{page} mixes Python and shell; make two cells of it")
    return Block(page, 0, "bash", "\n".join(line.removeprefix("!") for line in lines), notes)


def with_names(block: Block, namespace: Mapping[str, Any]) -> Block:
    """Return a block of shell with the values of the names in braces, as IPython puts them in.

    Raises:
        PageError: For a name without a value: IPython then leaves every brace of the line as it is.
    """
    if block.language != "bash":
        return block
    if unknown := [name for name in NAME.findall(block.code) if name not in namespace]:
        raise block.fails(f"no cell before gives {{{unknown[0]}}} a value")
    return replace(block, code=NAME.sub(lambda found: str(namespace[found[1]]), block.code))

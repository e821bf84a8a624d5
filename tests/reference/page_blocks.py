"""The code blocks of a page of the documents, with the comments above them, and how a test runs them.

A reader sees none of the comments, which stand directly above a block:

- `<!-- not run: reason -->`: the block is passed by, and the reason says why;
- `<!-- test: COMMAND --option value ... -->`: options that the test gives that command in place of the lines' own;
- `<!-- file: NAME -->`: the block is the content of that file, whose name the text above says.
"""

from __future__ import annotations

import json
import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from chinese_modernbert.cli import PROGRAM, main, split_command

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)```(\w*)\s*$")
COMMENT = re.compile(r"^ *<!-- *(.*?) *-->$")
NOTES = ("not run", "test", "file")
SHOWN = ("text",)  # what a command prints, or a layout of folders
REQUIREMENT = re.compile(rf"^{PROGRAM}(?:\[([\w,]+)\])?$")


class PageError(Exception):
    """A block that a reader could not run, or a comment above a block that says nothing."""


@dataclass(frozen=True)
class Block:
    """One block of code.

    Attributes:
        page: name of the page, for messages
        line: number of the line of its fence
        language: what stands behind the fence; empty: nothing
        code: its lines, without their common indentation
        notes: `(kind, text)` of the comments above it
    """

    page: str
    line: int
    language: str
    code: str
    notes: tuple[tuple[str, str], ...]

    def texts(self, kind: str) -> list[str]:
        """Return the texts of the notes of one kind."""
        return [text for name, text in self.notes if name == kind]

    def fails(self, message: str, line: int = 0) -> PageError:
        """Return an error that names page and line; `line` counts from 0 within the code."""
        return PageError(f"{self.page}:{self.line + 1 + line} {message}")


def blocks_of(text: str, page: str) -> list[Block]:
    """Return the blocks of a page.

    Raises:
        PageError: For a comment above a block without a known kind or a text, and for a block without an end.
    """
    lines, blocks, at = text.split("\n"), [], 0
    while at < len(lines):
        opened = FENCE.match(lines[at])
        if opened is None:
            at += 1
            continue
        end = next((one for one in range(at + 1, len(lines)) if lines[one].strip() == "```"), None)
        if end is None:
            raise PageError(f"{page}:{at + 1} the block has no end")
        code = textwrap.dedent("\n".join(lines[at + 1 : end])) + "\n"
        blocks.append(Block(page, at + 1, opened[2], code, tuple(notes_above(lines, at, page))))
        at = end + 1
    return blocks


def notes_above(lines: list[str], below: int, page: str) -> Iterator[tuple[str, str]]:
    """Yield the notes that stand directly above line `below`, the nearest first."""
    at = below - 1
    while at >= 0 and (comment := COMMENT.match(lines[at])):
        kind, _, text = comment[1].partition(":")
        if kind not in NOTES or not text.strip():
            raise PageError(f"{page}:{at + 1} '{comment[1]}' is none of {', '.join(f'{kind}: ...' for kind in NOTES)}")
        if kind == "file" and f"`{text.strip()}`" not in next(filter(str.strip, reversed(lines[:at])), ""):
            raise PageError(f"{page}:{at + 1} the line of text above does not name the file `{text.strip()}`")
        yield kind, text.strip()
        at -= 1


def run_block(block: Block, namespace: dict[str, Any], folder: Path) -> None:
    """Run a block in the working directory `folder`, a Python one in the names of those before it.

    Raises:
        PageError: For a command that fails, and for a block that cannot be run and has no mark.
    """
    if block.texts("not run"):
        return
    for name in block.texts("file"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(block.code, encoding="utf-8")
    if block.language == "python":
        # Empty lines before it give an error its line on the page.
        exec(compile("\n" * block.line + block.code, block.page, "exec"), namespace)
    elif block.language == "bash":
        _run_shell(block)
    elif block.language == "yaml":
        yaml.safe_load(block.code)
    elif block.language == "json":
        json.loads(block.code)
    elif block.language not in SHOWN and not block.texts("file"):
        raise block.fails(f"a block of '{block.language}' is not run; write <!-- not run: reason --> above it")


def _run_shell(block: Block) -> None:
    """Run the commands of this package in this process: an import of torch for each line would take minutes."""
    added: dict[str, list[str]] = {}
    for text in block.texts("test"):
        command, options = split_command(shlex.split(text))
        added[command] = options
    used = set()
    for number, line in commands_of(block.code):
        words = shlex.split(line, comments=True)
        if words[:2] == ["pip", "install"]:
            _check_requirements(block, words[2:], number)
        elif words[:1] != [PROGRAM]:
            raise block.fails(f"'{line}' is not run; write <!-- not run: reason --> above the block", number)
        else:
            command, _ = split_command(words[1:])
            used.add(command)
            code = main(_replaced(words[1:], added.get(command, [])))
            if code:
                raise block.fails(f"'{line}' ends with {code}", number)
    if unused := added.keys() - used:
        raise block.fails(f"the options for {', '.join(unused)} belong to no line of the block")


def _replaced(words: list[str], added: list[str]) -> list[str]:
    """Return the words of a command with options added, and without its own values of these options."""
    names, kept, is_kept = {word for word in added if word.startswith("--")}, [], True
    for word in words:
        is_kept = word not in names if word.startswith("--") else is_kept
        kept += [word] if is_kept else []
    return [*kept, *added]


def commands_of(code: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of the commands, those over several lines put together."""
    begun, start = "", 0
    for number, line in enumerate(code.split("\n")):
        start = start if begun else number
        begun += line.removesuffix("\\") if line.endswith("\\") else line
        if line.endswith("\\"):
            continue
        if begun.strip() and not begun.lstrip().startswith("#"):
            yield start, begun.strip()
        begun = ""


def _check_requirements(block: Block, words: list[str], number: int) -> None:
    """Compare what `pip install` asks of this package with its extras; nothing is installed."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for word in words:
        asked = REQUIREMENT.match(word)
        if asked is None:
            raise block.fails(f"'{word}' is not looked at; write <!-- not run: reason --> above the block", number)
        if unknown := {name for name in (asked[1] or "").split(",") if name} - extras.keys():
            raise block.fails(f"there is no extra {', '.join(sorted(unknown))}", number)

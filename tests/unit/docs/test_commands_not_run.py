"""Shell blocks that no test runs are still read: their options exist, and fit the model that they begin from."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert.cli import PROGRAM, imported, split_command
from chinese_modernbert.commands import COMMANDS
from chinese_modernbert.modeling import PRESETS, ChineseModernBertConfig
from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.trainers.pretraining.vocabulary import check_decoder_start
from reference.page_blocks import ROOT, blocks_of, commands_of

PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("README*.md")])


def commands_not_run(page: Path) -> list[list[str]]:
    """Return the words of this package's commands in blocks that are marked as not run, without the program."""
    blocks = [block for block in blocks_of(page.read_text(encoding="utf-8"), page.name) if block.texts("not run")]
    lines = [line for block in blocks if block.language == "bash" for _, line in commands_of(block.code)]
    words = [shlex.split(line, comments=True) for line in lines]
    return [one[1:] for one in words if one[:1] == [PROGRAM] and not any(word.startswith("--help") for word in one)]


def read(words: list[str]) -> Any:
    """Return the options of a command as it would read them, here on a CPU."""
    name, words = split_command(words)
    first, recipe = COMMANDS[name].first, None
    words = [f"--{first}", *words] if first and words and not words[0].startswith("-") else words
    if "--config" in words:
        at = words.index("--config")
        recipe = words[at + 1]
        words = words[:at] + words[at + 2 :]
    added = ["--use_cpu", "true"] if name == "pretrain" else []
    (arguments,) = load_recipe([imported(COMMANDS[name].arguments)], recipe, [*words, *added])
    return arguments


NOT_RUN = [(page, words) for page in PAGES for words in commands_not_run(page)]


@pytest.mark.parametrize(("page", "words"), NOT_RUN, ids=lambda value: value.stem if isinstance(value, Path) else None)
def test_a_command_that_is_not_run_has_options_that_fit(page: Path, words: list[str]) -> None:
    with contextlib.suppress(FileNotFoundError):  # the reader's own files
        arguments = read(words)
        if words[0] == "pretrain" and words[1].startswith("--"):
            check_decoder_start(arguments.decoder_starts_at, ChineseModernBertConfig(), arguments.model in PRESETS)

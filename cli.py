"""The console script `chinese-modernbert`: reads a command and its options, runs it, and says where the result is.

The commands are the table of `commands.py`. Options are the fields of a command's dataclass, from
`--config recipe.yaml` and from the command line, which wins.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from .commands import COMMANDS, SHORT_NAMES
from .runtime.lazy import optional_import, require_packages
from .runtime.memory import keep_freed_memory
from .runtime.process_end import CheckFailedError, ends_at_once
from .runtime.threads import fit_threads, let_threads_sleep

logger = logging.getLogger(__name__)

PROGRAM = "chinese-modernbert"
SHIPPED_TOKENIZER = Path(__file__).parent / "hub_release" / "assets" / "tokenizer"
ALL_HELP = ("--help_all", "--help-all")
USER_ERROR = 2
FAILED_CHECK = 1
INTERRUPTED = 130  # what a shell says of a program that Ctrl-C ended


@ends_at_once
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words after the program's name; default: those of this process

    Returns:
        0 on success, 1 where a check failed, 2 for a user's mistake, 130 after Ctrl-C (one line on standard error).
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        _write(_overview())
        return 0 if words else USER_ERROR
    if words[0] == "--version":
        _write(metadata.version(PROGRAM))
        return 0
    name, words = split_command(words)
    if name not in COMMANDS:
        from .runtime.options import did_you_mean

        hint = did_you_mean(name, COMMANDS) or f"; use one of {', '.join(COMMANDS)}"
        return _complain(f"unknown command '{name}'{hint}")
    level = logging.INFO if _is_main_process() else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    for client in ("httpx", "httpx2"):  # a line for every request
        logging.getLogger(client).setLevel(logging.WARNING)
    try:
        with optional_import(name):
            return _run(name, words)
    except CheckFailedError as failure:
        _write(str(failure))
        return FAILED_CHECK
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        # A mistake of the user is one line; for a fault of ours the whole trace is one variable away.
        if os.environ.get("CHINESE_MODERNBERT_TRACEBACK"):
            raise
        return _complain(" ".join(str(error).split()) or type(error).__name__)
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{PROGRAM}: {name} was interrupted; the same command goes on where it keeps what is done\n")
        return INTERRUPTED


def split_command(words: list[str]) -> tuple[str, list[str]]:
    """Split the name of a command, of one or two words, from its options.

    A word after a command that has sub-commands is one of them, never a value.
    """
    two = " ".join(words[:2])
    is_group = any(name.startswith(f"{words[0]} ") for name in COMMANDS)
    if two in COMMANDS or (is_group and len(words) > 1 and not words[1].startswith("-")):
        return two, words[2:]
    return SHORT_NAMES.get(words[0], words[0]), words[1:]


def _run(name: str, words: list[str]) -> int:
    """Load a command, read its options, run it and print where the result is."""
    command = COMMANDS[name]
    if any(word in ("-h", "--help", *ALL_HELP) for word in words):
        _write(_help(name, any(word in ALL_HELP for word in words)))
        return 0
    require_packages(name, command.needs)
    let_threads_sleep()
    from .runtime.options import load_recipe

    if command.first and words and not words[0].startswith("-"):
        words = [f"--{command.first}", *words]
    recipe, words = _take_config(words)
    (given,) = load_recipe([imported(command.arguments)], recipe, words)
    if command.tokenizer:
        _fill_in_tokenizer(given, command.tokenizer)
    run = imported(command.run)
    fit_threads()
    if command.runs_model:
        keep_freed_memory()
    result = run(given)
    if _is_main_process():
        _write(command.result.format(result))
    return 0


def _help(name: str, with_library: bool) -> str:
    """Return a command's help; the library is imported only where its fields are asked for."""
    from .runtime.help import describe_options

    command = COMMANDS[name]
    own = command.own_options if command.own_options and not with_library else command.arguments
    words = f" [{command.first.upper()} ...]" if command.first else ""
    usage = f"{PROGRAM} {name}{words} [--NAME VALUE ...]"
    return describe_options(imported(own), usage, f"{command.purpose}.", command.own_options is not None)


def imported(name: str) -> Any:
    """Return the object that a `module:name` of the table names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(f".{module}", __package__), attribute)


def _fill_in_tokenizer(arguments: Any, option: str) -> None:
    """Name the shipped tokenizer where none is given; done here, since `trainers` may not know `hub_release`."""
    given = getattr(arguments, option)
    if not given:
        logger.info("no tokenizer is given: taking the shipped one")
        setattr(arguments, option, [str(SHIPPED_TOKENIZER)] if isinstance(given, list) else str(SHIPPED_TOKENIZER))


def _take_config(words: list[str]) -> tuple[str | None, list[str]]:
    """Split `--config FILE` (or `--config=FILE`) from the other words."""
    rest, recipe, position = [], None, 0
    while position < len(words):
        word = words[position]
        if recipe is not None and word.partition("=")[0] == "--config":
            raise ValueError("--config is given twice; put both into one recipe, or give the rest as options")
        if word == "--config":
            if position + 1 == len(words):
                raise ValueError("--config needs a file or the name of a shipped recipe after it")
            recipe, position = words[position + 1], position + 1
        elif word.startswith("--config="):
            recipe = word.removeprefix("--config=")
        else:
            rest.append(word)
        position += 1
    return recipe, rest


def _overview() -> str:
    """Return the list of commands."""
    width = max(map(len, COMMANDS))
    rows = [f"  {name.ljust(width)}  {command.purpose}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND [--config RECIPE] [--name value ...]",
            "",
            *rows,
            "",
            "COMMAND --help lists options.",
        ]
    )


def _is_main_process() -> bool:
    """Return whether this is the only process, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _complain(message: str) -> int:
    sys.stderr.write(f"{PROGRAM}: error: {message}\n")
    return USER_ERROR


if __name__ == "__main__":
    raise SystemExit(main())

"""The console script `chinese-modernbert`: one command for each stage from raw text to a Hub folder.

A command is a row of `COMMANDS`: what it is for, its dataclasses, and what runs them. Options are the fields of those
dataclasses, from `--config recipe.yaml` and from the command line, which wins.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

PROGRAM = "chinese-modernbert"
SHIPPED_TOKENIZER = Path(__file__).parent / "hub_release" / "assets" / "tokenizer"
USER_ERROR = 2
FAILED_CHECK = 1


class CheckFailedError(Exception):
    """A command ran well and its verdict is no; the report is already on screen."""


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        purpose: one line for `--help`.
        load: imports the command's code and returns its dataclasses and what runs them. Called only when the command
            is, so that `--help` is quick and a missing optional package is reported by the command that needs it.
        first: the option that a first word without `--` stands for; None: every word belongs to a named option.
    """

    purpose: str
    load: Callable[[], tuple[list[type], Callable[..., str]]]
    first: str | None = None


@dataclass
class VerifyArguments:
    """Which folder to verify, and against what."""

    folder: str = field(metadata={"help": "Released folder."})
    checkpoint: str | None = field(default=None, metadata={"help": "Checkpoint that it was built from."})
    python: str = field(default=sys.executable, metadata={"help": "Interpreter of the fresh process."})


def _tokenizer() -> tuple[list[type], Callable[..., str]]:
    from .tokenization import TokenizerArguments, run_tokenizer_training

    return [TokenizerArguments], lambda args: f"tokenizer: {run_tokenizer_training(args)}"


def _extend() -> tuple[list[type], Callable[..., str]]:
    from .tokenization.extend import ExtensionArguments, run_extension

    return [ExtensionArguments], lambda args: f"tokenizer: {run_extension(args)}"


def _report() -> tuple[list[type], Callable[..., str]]:
    from .tokenization.diagnostics import REPORT_TEXT, TokenizerReportArguments, run_tokenizer_report

    def run(args: TokenizerReportArguments) -> str:
        args.tokenizers = args.tokenizers or [str(SHIPPED_TOKENIZER)]
        folder = run_tokenizer_report(args)
        return f"{(folder / REPORT_TEXT).read_text(encoding='utf-8')}\nreport: {folder}"

    return [TokenizerReportArguments], run


def _prepare() -> tuple[list[type], Callable[..., str]]:
    from .trainers.data.prepare import PrepareArguments, run_prepare

    return [PrepareArguments], lambda args: f"shards: {run_prepare(_with_tokenizer(args))}"


def _mask() -> tuple[list[type], Callable[..., str]]:
    from .trainers.masking.preview_command import MaskArguments, run_mask

    return [MaskArguments], lambda args: run_mask(_with_tokenizer(args))


def _pretrain() -> tuple[list[type], Callable[..., str]]:
    from .trainers.pretraining.arguments import PretrainingArguments
    from .trainers.pretraining.run import run_pretraining

    return [PretrainingArguments], lambda args: f"checkpoint: {run_pretraining(_with_tokenizer(args))}"


def _sts() -> tuple[list[type], Callable[..., str]]:
    from .trainers.contrastive.arguments import ContrastiveArguments
    from .trainers.contrastive.run import run_contrastive

    return [ContrastiveArguments], lambda args: f"sentence encoder: {run_contrastive(args)}/final"


def _clue() -> tuple[list[type], Callable[..., str]]:
    from .trainers.clue.run import ClueArguments, run_clue

    return [ClueArguments], lambda args: f"report: {run_clue(args)}"


@dataclass
class PlotArguments:
    """Which runs to draw, and where."""

    plot: list[str] = field(metadata={"help": "Folders of runs, or their training_log.jsonl; several are compared."})
    picture: str | None = field(default=None, metadata={"help": "PNG file; null: curves.png in the first folder."})
    title: str = field(default="Pre-training", metadata={"help": "Title of the picture."})


def _plot() -> tuple[list[type], Callable[..., str]]:
    from .trainers.pretraining.curves import draw_comparison, draw_curves

    def run(args: PlotArguments) -> str:
        first = Path(args.plot[0])
        picture = args.picture or str((first if first.is_dir() else first.parent) / "curves.png")
        if len(args.plot) == 1:
            return f"picture: {draw_curves(args.plot[0], picture, args.title)}"
        return f"picture: {draw_comparison(args.plot, picture, args.title)}"

    return [PlotArguments], run


def _with_tokenizer(arguments: Any) -> Any:
    """Name the shipped tokenizer where none is given; done here, since `trainers` may not know `hub_release`."""
    if not arguments.tokenizer:
        logger.info("no tokenizer is given: taking the shipped one")
        arguments.tokenizer = str(SHIPPED_TOKENIZER)
    return arguments


def _release() -> tuple[list[type], Callable[..., str]]:
    from .hub_release.builder import ReleaseArguments, build_release

    return [ReleaseArguments], lambda args: f"release: {build_release(args)}"


def _verify() -> tuple[list[type], Callable[..., str]]:
    from .hub_release.verification.verify import verify_release

    def run(args: VerifyArguments) -> str:
        report = verify_release(args.folder, args.checkpoint, args.python)
        if not report.is_ok:
            raise CheckFailedError(report.summary())
        return report.summary()

    return [VerifyArguments], run


def _convert() -> tuple[list[type], Callable[..., str]]:
    from .hub_release.conversion import ConversionArguments, run_conversion

    return [ConversionArguments], lambda args: f"checkpoint: {run_conversion(args)}"


def _push() -> tuple[list[type], Callable[..., str]]:
    from .hub_release.upload.push import PushArguments, push_release

    return [PushArguments], push_release


def _benchmark() -> tuple[list[type], Callable[..., str]]:
    from .demo.speed import SpeedArguments, run_model_speed

    return [SpeedArguments], run_model_speed


def _demo() -> tuple[list[type], Callable[..., str]]:
    from .demo.run import DemoArguments, run_demo

    return [DemoArguments], lambda args: f"Hub folder: {run_demo(args)}"


COMMANDS: dict[str, Command] = {
    "tokenizer": Command("train a byte-fallback BPE tokenizer on text files", _tokenizer),
    "tokenizer --extend": Command("add entries to a tokenizer, for a domain or a script", _extend),
    "tokenizer --report": Command("measure tokenizers side by side on text; alone, the shipped one", _report),
    "prepare": Command("turn text files into shards of token ids and word starts", _prepare),
    "mask": Command("show what a masking method does to a text", _mask),
    "pretrain": Command("pre-train a model on shards, in stages, with resume", _pretrain),
    "sts": Command("train a sentence encoder in stages and score every stage", _sts),
    "clue": Command("fine-tune and score a model on CLUE, or on a task of your own", _clue),
    "pretrain --plot": Command("draw the curves of a run, or of several side by side", _plot),
    "release": Command("build a Hub folder from a checkpoint", _release),
    "verify": Command("load a Hub folder in a fresh process without this package and compare", _verify, "folder"),
    "convert": Command("turn any checkpoint of the ModernBERT family into ours, or back with --native", _convert),
    "push": Command("upload a Hub folder, private unless --public", _push, "folder"),
    "benchmark": Command("time the encoder against Transformers' ModernBERT with the same weights", _benchmark),
    "demo": Command("the whole path on a generated corpus, in minutes on a CPU", _demo),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words after the program's name; default: those of this process.

    Returns:
        0 on success, 1 where a check failed, 2 for a user's mistake (one line on standard error).
    """
    words = name_of_command(list(sys.argv[1:] if arguments is None else arguments))
    if not words or words[0] in ("-h", "--help", "help"):
        _write(_overview())
        return 0 if words else USER_ERROR
    if words[0] == "--version":
        _write(metadata.version(PROGRAM))
        return 0
    if words[0] not in COMMANDS:
        return _complain(f"unknown command '{words[0]}'; use one of {', '.join(COMMANDS)}")
    level = logging.INFO if _is_main_process() else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    for client in ("httpx", "httpx2"):  # a line for every request
        logging.getLogger(client).setLevel(logging.WARNING)
    try:
        return _run(words[0], words[1:])
    except CheckFailedError as failure:
        _write(str(failure))
        return FAILED_CHECK
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        # A mistake of the user is one line; for a fault of ours the whole trace is one variable away.
        if os.environ.get("CHINESE_MODERNBERT_TRACEBACK"):
            raise
        return _complain(" ".join(str(error).split()) or type(error).__name__)
    finally:
        _leave_process_group()


def name_of_command(words: list[str]) -> list[str]:
    """Join a command and the option that makes it another one, wherever it stands, to one name."""
    if words[:1] == ["tokenizer"] and "--report" in words:
        return ["tokenizer --report", *(word for word in words[1:] if word != "--report")]
    if words[:1] == ["pretrain"] and "--plot" in words:
        return ["pretrain --plot", *words[1:]]  # the option stays: it holds the runs
    if words[:1] == ["tokenizer"] and "--extend" in words:
        return ["tokenizer --extend", *words[1:]]
    return words


def _run(name: str, words: list[str]) -> int:
    """Load a command, read its options, run it and print where the result is."""
    types, run = COMMANDS[name].load()
    if COMMANDS[name].first and words and not words[0].startswith("-"):
        words = [f"--{COMMANDS[name].first}", *words]
    from .runtime.options import describe_arguments, load_recipe

    if "-h" in words or "--help" in words:
        _write(f"{COMMANDS[name].purpose}\n\n{describe_arguments(types, f'{PROGRAM} {name} [--config RECIPE]')}")
        return 0
    recipe, words = _take_config(words)
    given: tuple[Any, ...] = load_recipe(types, recipe, words)
    result = run(*given)
    if _is_main_process():
        _write(result)
    return 0


def _take_config(words: list[str]) -> tuple[str | None, list[str]]:
    """Split `--config FILE` (or `--config=FILE`) from the other words."""
    rest, recipe, position = [], None, 0
    while position < len(words):
        word = words[position]
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


def _leave_process_group() -> None:
    """End what torchrun's processes share; without it some runs abort at exit, after all work is done."""
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _complain(message: str) -> int:
    sys.stderr.write(f"{PROGRAM}: error: {message}\n")
    return USER_ERROR


if __name__ == "__main__":
    raise SystemExit(main())

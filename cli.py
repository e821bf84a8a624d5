"""The console script `chinese-modernbert`: one command for each stage from raw text to a Hub folder.

A command is a row of `COMMANDS`: what it is for, its dataclass, and what runs it. Options are the fields of the
dataclass, from `--config recipe.yaml` and from the command line, which wins.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

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
# Packages that training and scoring of sentence encoders cannot do without.
ENCODERS = ("accelerate", "datasets", "matplotlib", "scipy", "sentence_transformers", "sklearn")


@dataclass(frozen=True)
class Command:
    """One command; its code is imported when it runs, so that the list of commands is quick.

    Attributes:
        purpose: one line for `--help`
        arguments: its options, a dataclass, as `module:name` below this package
        run: what runs them, as `module:name`; returns a path or text
        result: last line of the output around what `run` returns
        first: the option that leading words without `--` stand for; None: every word belongs to a named option
        tokenizer: the option that is the shipped tokenizer where it is not given; None: no option is
        own_options: the part of `arguments` that is ours, which `--help` shows without importing the library; None: all
        runs_model: it runs a model for long, so its process keeps freed memory
        needs: optional packages that it cannot do without, looked for before it begins
    """

    purpose: str
    arguments: str
    run: str
    result: str = "{}"
    first: str | None = None
    tokenizer: str | None = None
    own_options: str | None = None
    runs_model: bool = False
    needs: tuple[str, ...] = ()


COMMANDS: dict[str, Command] = {
    "tokenizer train": Command(
        "train a byte-fallback BPE tokenizer on text files; `tokenizer` alone does it too",
        "tokenization.arguments:TokenizerArguments",
        "tokenization.train_bpe:run_tokenizer_training",
        "tokenizer: {}",
    ),
    "tokenizer extend": Command(
        "add tokens to a tokenizer, for a domain or a script",
        "tokenization.arguments:ExtensionArguments",
        "tokenization.extend:run_extension",
        "tokenizer: {}",
    ),
    "tokenizer report": Command(
        "measure tokenizers side by side on text; alone, the shipped one",
        "tokenization.arguments:TokenizerReportArguments",
        "tokenization.diagnostics:run_report_command",
        first="tokenizers",
        tokenizer="tokenizers",
        needs=("matplotlib",),
    ),
    "prepare": Command(
        "turn text files into shards of token ids and word starts",
        "trainers.data.arguments:PrepareArguments",
        "trainers.data.prepare:run_prepare",
        "shards: {}",
        tokenizer="tokenizer",
    ),
    "mask": Command(
        "show what a masking method does to a text",
        "trainers.masking.options:MaskArguments",
        "trainers.masking.preview_command:run_mask",
        tokenizer="tokenizer",
    ),
    "pretrain": Command(
        "pre-train a model on shards, in stages, with resume",
        "trainers.pretraining.arguments:PretrainingArguments",
        "trainers.pretraining.run:run_pretraining",
        "checkpoint: {}",
        own_options="trainers.pretraining.options:PretrainingOptions",
        tokenizer="tokenizer",
        runs_model=True,
        needs=("accelerate",),
    ),
    "pretrain plot": Command(
        "draw the curves of a run, or of several side by side",
        "trainers.pretraining.plot_command:PlotArguments",
        "trainers.pretraining.plot_command:run_plot",
        "picture: {}",
        first="runs",
        needs=("matplotlib",),
    ),
    "pretrain progress": Command(
        "tell in one line how far a run is, how fast, and how long it will take",
        "trainers.pretraining.progress_command:ProgressArguments",
        "trainers.pretraining.progress_command:run_progress",
        first="run",
    ),
    "sts": Command(
        "train a sentence encoder in stages and score every stage",
        "trainers.contrastive.arguments:ContrastiveArguments",
        "trainers.contrastive.run:run_contrastive",
        "sentence encoder: {}/final",
        own_options="trainers.contrastive.options:ContrastiveOptions",
        runs_model=True,
        needs=ENCODERS,
    ),
    "retrieval": Command(
        "train a model for search of any kind in stages, and measure every stage beside BM25",
        "trainers.contrastive.arguments:RetrievalArguments",
        "trainers.contrastive.run:run_retrieval",
        "model for search: {}/final",
        own_options="trainers.contrastive.retrieval_options:RetrievalOptions",
        runs_model=True,
        needs=ENCODERS,
    ),
    "retrieval explain": Command(
        "show what a sparse encoder takes texts for: its terms by weight, those of the text and those it adds",
        "evaluation.retrieval.expansion_command:ExplainArguments",
        "evaluation.retrieval.expansion_command:run_explain",
        first="model_and_texts",
        runs_model=True,
        needs=("sentence_transformers",),
    ),
    "clue": Command(
        "fine-tune and score a model on CLUE, or on a task of your own",
        "trainers.clue.arguments:ClueArguments",
        "trainers.clue.run:run_clue",
        "report: {}",
        own_options="trainers.clue.options:ClueOptions",
        runs_model=True,
        needs=("accelerate", "datasets", "evaluate", "matplotlib", "scipy", "sklearn"),
    ),
    "spell train": Command(
        "train a corrector of wrong Chinese characters on pairs of sentences, and fit its threshold",
        "trainers.spelling.arguments:SpellingArguments",
        "trainers.spelling.run:run_spelling",
        "report: {}",
        own_options="trainers.spelling.options:SpellingOptions",
        runs_model=True,
        needs=("accelerate",),
    ),
    "spell pairs": Command(
        "make pairs to train a corrector on, from plain text and confusion sets",
        "trainers.spelling.synthetic:SyntheticArguments",
        "trainers.spelling.synthetic:run_synthetic",
        "pairs: {}",
        first="corpus",
    ),
    "spell check": Command(
        "find and correct wrong characters in a file of texts, or in the words of the command line",
        "trainers.spelling.check:SpellCheckArguments",
        "trainers.spelling.check:run_check",
        first="model",
        runs_model=True,
    ),
    "spell evaluate": Command(
        "score correctors on pairs of sentences, side by side",
        "trainers.spelling.evaluate:SpellEvaluateArguments",
        "trainers.spelling.evaluate:run_evaluate",
        "report: {}",
        first="models",
        runs_model=True,
    ),
    "minimal-pairs": Command(
        "score masked language models on minimal pairs of grammar (ZhoBLiMP), without training",
        "evaluation.language_modeling.minimal_pairs_command:MinimalPairsArguments",
        "evaluation.language_modeling.minimal_pairs_command:run_minimal_pairs",
        "report: {}",
        first="models",
        runs_model=True,
        needs=("matplotlib",),
    ),
    "fill": Command(
        "find words, of several tokens too, for the blanks of texts",
        "evaluation.language_modeling.fill_command:FillArguments",
        "evaluation.language_modeling.fill_command:run_fill",
        runs_model=True,
    ),
    "augment": Command(
        "make more texts from texts: words are masked one after another, others drawn in their place",
        "evaluation.rewriting.commands:AugmentArguments",
        "evaluation.rewriting.commands:run_augment",
        runs_model=True,
    ),
    "rewrite": Command(
        "replace the words of a list in texts, so that the texts stay alike",
        "evaluation.rewriting.commands:RewriteArguments",
        "evaluation.rewriting.commands:run_rewrite",
        runs_model=True,
    ),
    "fill evaluate": Command(
        "ask masked language models for a missing word of everyday sentences, without training",
        "evaluation.language_modeling.blanks_command:FillEvaluateArguments",
        "evaluation.language_modeling.blanks_command:run_fill_evaluate",
        "report: {}",
        first="models",
        runs_model=True,
    ),
    "predict": Command(
        "answer the rows of a file with a fine-tuned model",
        "trainers.clue.predict_options:PredictArguments",
        "trainers.clue.predict:run_predict",
        "predictions: {}",
        first="model",
        runs_model=True,
        needs=("scipy",),
    ),
    "explain": Command(
        "show which words a fine-tuned classifier's decisions rest on, and measure how faithful that is",
        "trainers.clue.explain_options:ExplainArguments",
        "trainers.clue.explain_command:run_explain",
        "report: {}",
        first="model",
        runs_model=True,
        needs=("matplotlib", "scipy"),
    ),
    "noise": Command(
        "make spelling errors in labelled rows, and score a fine-tuned model before and after",
        "trainers.clue.noise:NoiseArguments",
        "trainers.clue.noise:run_noise",
        first="data",
        runs_model=True,
    ),
    "release": Command(
        "build a Hub folder from a checkpoint",
        "hub_release.arguments:ReleaseArguments",
        "hub_release.builder:build_release",
        "release: {}",
    ),
    "verify": Command(
        "load a Hub folder in a fresh process without this package and compare",
        "hub_release.arguments:VerifyArguments",
        "hub_release.verification.command:run_verification",
        first="model",
    ),
    "convert": Command(
        "turn a checkpoint of the ModernBERT family into ours, or give ours a residual stream of mean zero",
        "hub_release.arguments:ConversionArguments",
        "hub_release.conversion:run_conversion",
        "checkpoint: {}",
        first="model",
    ),
    "gguf": Command(
        "write a Hub folder as one file for llama.cpp, with llama.cpp's own converter",
        "hub_release.arguments:GgufArguments",
        "hub_release.gguf.export:export_gguf",
        first="model",
    ),
    "push": Command(
        "upload a Hub folder, private unless --public",
        "hub_release.arguments:PushArguments",
        "hub_release.upload.push:push_release",
        first="model",
    ),
    "benchmark": Command(
        "time the encoder against Transformers' ModernBERT with the same weights",
        "demo.arguments:SpeedArguments",
        "demo.speed:run_model_speed",
        runs_model=True,
    ),
    "demo": Command(
        "the whole path on a generated corpus, in minutes on a CPU",
        "demo.arguments:DemoArguments",
        "demo.run:run_demo",
        "Hub folder: {}",
        runs_model=True,
        needs=("accelerate", "matplotlib"),
    ),
}
SHORT_NAMES = {"tokenizer": "tokenizer train"}


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

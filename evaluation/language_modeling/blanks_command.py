"""The command `fill evaluate`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...runtime.options import argument
from .token_range import read_token_range

if TYPE_CHECKING:
    from .blanks import FilledBlank

logger = logging.getLogger(__name__)

REPORT, REPORT_JSON = "report.md", "report.json"


@dataclass
class FillEvaluateArguments:
    """Which models to ask, and about which sentences."""

    models: list[str] = argument(list, "Folders or Hub names of masked language models.", group="Models and data")
    trust_remote_code: bool = argument(False, "Allow the models' own code from their folder or the Hub.")
    data: str = argument("", "YAML list of {text, answers}; if empty: 50 everyday sentences.")
    top: int = argument(5, "Words among which an answer must be.", within="[1, 1000]")
    tokens: str = argument("", "Tokens of a word: 2, or 1..3; if empty: as many as the first answer has.")
    output_dir: str = argument("fill-evaluate", "Folder of the report.", group="Output")
    overwrite: bool = argument(False, "Replace a report in output_dir.")

    dtype: Literal["float32", "bfloat16"] = argument("float32", "Numbers of weights and states.", group="Machine")
    use_cpu: bool = argument(False, "Do not use a GPU.")

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("no model is given; name folders or Hub names: fill evaluate MODEL [MODEL ...]")
        read_token_range(self.tokens)


def run_fill_evaluate(args: FillEvaluateArguments) -> Path:
    """Ask the models about every sentence and return the report.

    Raises:
        FileExistsError: If output_dir holds a report and overwrite is off.
        FileNotFoundError: If the sentences are not there.
        ValueError: For sentences that cannot be read, or a folder without a masked language model.
    """
    from .blanks import EVERYDAY, fill_blanks, read_blanks
    from .loading import load_masked_language_model, public_names

    output = Path(args.output_dir)
    if (output / REPORT).exists() and not args.overwrite:
        raise FileExistsError(f"{output / REPORT} exists; give another output_dir, or overwrite")
    data = Path(args.data or EVERYDAY)
    blanks = read_blanks(data)
    tokens = read_token_range(args.tokens)
    found: dict[str, list[FilledBlank]] = {}
    for name, shown in public_names(args.models).items():
        model, tokenizer = load_masked_language_model(name, args.dtype, args.use_cpu, args.trust_remote_code)
        found[shown] = filled = fill_blanks(model, tokenizer, blanks, args.top, tokens)
        logger.info("%s: %d of %d right", name, sum(one.rank is not None for one in filled), len(filled))
    settings = {"data": data.name, "sentences": len(blanks), "top": args.top, "dtype": args.dtype}
    settings["tokens"] = args.tokens or "of the first answer"
    return write_blanks_report(output, found, settings)


def write_blanks_report(output: Path, found: Mapping[str, list[FilledBlank]], settings: Mapping[str, Any]) -> Path:
    """Write what models found for the same sentences.

    Args:
        output: folder of the report
        found: by name of the model
        settings: what was asked for

    Returns:
        The Markdown file.
    """
    from ...runtime.environment import describe_environment
    from ...runtime.files import write_text_atomically
    from ...runtime.markdown import markdown_table

    environment = describe_environment("tokenizers")
    models = [{"name": name, **_counts(filled), "sentences": _rows(filled)} for name, filled in found.items()]
    content = {"settings": dict(settings), "environment": environment, "models": models}
    write_text_atomically(output / REPORT_JSON, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    rows = ([one["name"], one["right"], one["first"], settings["sentences"]] for one in models)
    lines = ["# Blanks", "", f"Sentences for which a word that fits is among the first {settings['top']}.", ""]
    lines += markdown_table(("model", "right", "of these in the first place", "sentences"), rows)
    for one in models:
        cells = (
            [row["text"].replace("{mask}", "＿＿"), "、".join(row["answers"]), row["rank"] or "-", _words(row)]
            for row in one["sentences"]
        )
        lines += ["", f"## {one['name']}", "", *markdown_table(("sentence", "answers", "rank", "found"), cells)]
    lines += ["", "## Settings", "", *(f"- {name}: {value}" for name, value in settings.items())]
    lines += ["", "## Machine", "", *(f"- {name}: {value}" for name, value in environment.items())]
    write_text_atomically(output / REPORT, "\n".join(lines) + "\n")
    return output / REPORT


def _counts(filled: list[FilledBlank]) -> dict[str, int]:
    """Return in how many sentences an answer is found, and in how many it comes first."""
    ranks = [one.rank for one in filled]
    return {"right": sum(rank is not None for rank in ranks), "first": ranks.count(1)}


def _rows(filled: list[FilledBlank]) -> list[dict[str, Any]]:
    return [
        {
            **asdict(one.blank),
            "rank": one.rank,
            "words": [{"word": word.text, "probability": word.probability} for word in one.words],
        }
        for one in filled
    ]


def _words(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{one['word']} {one['probability']:.1%}".replace("%", " %") for one in row["words"])

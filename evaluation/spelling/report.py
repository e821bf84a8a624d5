"""The report of spelling correctors on the same sets: scores, gains over the first corrector, mistakes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.environment import describe_environment
from ...runtime.files import write_text_atomically
from ...runtime.markdown import markdown_table
from ..clue.significance import compare
from .metrics import SpellingScores, correction_rows, count_sentences, spelling_scores
from .pairs import SpellingPair

REPORT, REPORT_JSON = "report.md", "report.json"
# Sentences shown for each corrector and set that it got wrong. Our default.
EXAMPLES = 5
LEVELS = ("correction", "detection", "character_correction", "character_detection")
ABOUT = (
    "Percent: precision / recall / F1. Sentence level: right is a sentence with errors that comes out as its "
    "correction (detection: whose changed characters are those with errors); precision is over the sentences that were "
    "changed, recall over those with errors. Character level: the same over characters. False positives: share of the "
    "clean sentences that were changed. The gain is the F1 of sentence correction minus that of the first row, with "
    "its 95 % interval from a paired bootstrap of the sentences."
)


@dataclass(frozen=True)
class ScoredCorrector:
    """A corrector and what it made of the sets.

    Attributes:
        name: what the rows call it
        runs: set -> predictions, of each run (such as one for each seed)
        seconds: set -> time that one run took to correct it; empty where it was not measured
    """

    name: str
    runs: Sequence[Mapping[str, Sequence[str]]]
    seconds: Mapping[str, float] = field(default_factory=dict)


def write_spelling_report(
    output: Path,
    sets: Mapping[str, Sequence[SpellingPair]],
    correctors: Sequence[ScoredCorrector],
    settings: Mapping[str, Any],
    examples: int = EXAMPLES,
) -> Path:
    """Write the report, Markdown and JSON.

    Args:
        output: folder of the report
        sets: pairs of each set
        correctors: in the order of the rows; the first is the one that gains are measured against
        settings: what was asked for
        examples: sentences that the first run of a corrector got wrong, shown for each set

    Returns:
        The Markdown file.

    Raises:
        ValueError: If there is nothing to report, or predictions do not fit a set.
    """
    if not sets or not correctors or not all(one.runs for one in correctors):
        raise ValueError(f"{len(sets)} sets and {len(correctors)} correctors; give one of each, with a run or more")
    environment = describe_environment("tokenizers", "numpy")
    tables = {name: [_row(one, name, sets, correctors[0]) for one in correctors] for name in sets}
    content = {"settings": dict(settings), "environment": environment, "sets": tables}
    write_text_atomically(output / REPORT_JSON, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    lines = ["# Spelling correction", "", ABOUT]
    for name, rows in tables.items():
        n_clean = sum(source == target for source, target in sets[name])
        lines += ["", f"## {name}", "", f"{len(sets[name]):,} sentences, {n_clean:,} of them clean.", ""]
        lines += markdown_table(("corrector", *LEVELS, "false positives", "gain", "sentences/s"), map(_cells, rows))
        for one in correctors:
            lines += _mistakes(one, name, sets[name], examples)
    lines += ["", "## Settings", "", *(f"- {name}: {value}" for name, value in settings.items())]
    lines += ["", "## Machine", "", *(f"- {name}: {value}" for name, value in environment.items())]
    write_text_atomically(output / REPORT, "\n".join(lines) + "\n")
    return output / REPORT


def scores_of(pairs: Sequence[SpellingPair], predictions: Sequence[str]) -> SpellingScores:
    """Score predictions of pairs."""
    return spelling_scores([pair.source for pair in pairs], [pair.target for pair in pairs], predictions)


def _row(
    corrector: ScoredCorrector, name: str, sets: Mapping[str, Sequence[SpellingPair]], first: ScoredCorrector
) -> dict[str, Any]:
    """Return the row of a corrector as plain data: every score of every run, and the gain over the first corrector."""
    runs = [scores_of(sets[name], run[name]) for run in corrector.runs]
    row: dict[str, Any] = {"corrector": corrector.name, "seconds": corrector.seconds.get(name)}
    for level in LEVELS:
        counts = [getattr(scores, level) for scores in runs]
        row[level] = {
            measure: [round(getattr(one, measure), 6) for one in counts] for measure in ("precision", "recall", "f1")
        }
    row["false_positive_rate"] = [round(scores.false_positive_rate, 6) for scores in runs]
    row["sentences"] = runs[0].sentences
    if corrector is not first:
        gain = compare(_mean_rows(corrector, name, sets[name]), _mean_rows(first, name, sets[name]))
        row["gain"] = {"f1": gain.difference, "low": gain.low, "high": gain.high, "p": gain.p_value}
    return row


def _mean_rows(corrector: ScoredCorrector, name: str, pairs: Sequence[SpellingPair]) -> np.ndarray:
    sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
    return np.mean([correction_rows(count_sentences(sources, targets, run[name])) for run in corrector.runs], axis=0)


def _cells(row: Mapping[str, Any]) -> list[str]:
    levels = [" / ".join(_percent(row[level][measure]) for measure in row[level]) for level in LEVELS]
    gain = row.get("gain")
    gained = f"{gain['f1']:+.1f} ({gain['low']:+.1f} to {gain['high']:+.1f}), p = {gain['p']:.4f}" if gain else ""
    speed = f"{row['sentences'] / row['seconds']:,.1f}" if row["seconds"] else ""
    return [row["corrector"], *levels, _percent(row["false_positive_rate"]), gained, speed]


def _percent(values: Sequence[float]) -> str:
    """Return the mean in percent, with the deviation where there are several runs."""
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def _mistakes(corrector: ScoredCorrector, name: str, pairs: Sequence[SpellingPair], examples: int) -> list[str]:
    """Return the lines of the first sentences that a corrector got wrong; nothing where there are none."""
    wrong = [
        (*pair, prediction)
        for pair, prediction in zip(pairs, corrector.runs[0][name], strict=True)
        if prediction != pair.target
    ]
    if not wrong or not examples:
        return []
    title = f"{corrector.name}: the first of {len(wrong):,} sentences that are wrong in its first run"
    return ["", f"### {title}", "", *markdown_table(("as written", "correct", "predicted"), wrong[:examples])]

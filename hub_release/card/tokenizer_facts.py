"""Metrics of a finished `tokenizer report` for the model card, checked to be about the released tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from ...tokenization import tokenizer_hash
from ...tokenization.diagnostics import REPORT_FILE
from ..checkpoint import read_json_list

ALL_TEXT = ("All text", "全部文本")
SCRIPTS = {
    "simplified": ("Simplified", "简体"),
    "traditional": ("Traditional", "繁体"),
    "neutral": ("Neither", "两者皆非"),
}


@dataclass(frozen=True)
class TokenizerMetric:
    """What the tokenizer does to one group of documents; shares are percent of its tokens.

    Attributes:
        english: name of the group in the English section
        chinese: name of the group in the Chinese section
        crossing_percent: tokens that cross the boundary between two words
        byte_percent: tokens of single bytes, for characters without a token of their own
        unknown_percent: tokens that lost their text
    """

    english: str
    chinese: str
    documents: int
    characters: int
    characters_per_token: float
    crossing_percent: float
    byte_percent: float
    unknown_percent: float


def read_tokenizer_metrics(report: str, tokenizer: PreTrainedTokenizerFast) -> list[TokenizerMetric]:
    """Return the metrics of a report about this tokenizer: of all its text, then by script.

    Args:
        report: output folder of `tokenizer report`, or its `report.json`; no metrics if empty
        tokenizer: the released tokenizer

    Raises:
        FileNotFoundError: For a report that is not there.
        ValueError: For a report about other tokenizers, or a file that is no such report.
    """
    if not report:
        return []
    path = Path(report) / REPORT_FILE if Path(report).is_dir() else Path(report)
    if not path.is_file():
        raise FileNotFoundError(f"tokenizer_report {path} is not there; give the output of `tokenizer report`")
    expected = tokenizer_hash(tokenizer)
    rows = read_json_list(path)
    found = next((row for row in rows if row.get("tokenizer_hash") == expected), None)
    if found is None:
        raise ValueError(
            f"tokenizer_report {path} is not about the released tokenizer ({expected[:16]}); "
            "run `tokenizer report` on the checkpoint or on its release"
        )
    try:
        groups = [(ALL_TEXT, found["total"])]
        groups += [(SCRIPTS[name], row) for name, row in found["by_script"].items()]
        return [_metric(names, row) for names, row in groups]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"tokenizer_report {path} has no {error}; write it again with this version") from error


def _metric(names: tuple[str, str], row: Mapping[str, Any]) -> TokenizerMetric:
    return TokenizerMetric(
        *names,
        documents=row["documents"],
        characters=row["characters"],
        characters_per_token=float(row["characters_per_token"]),
        crossing_percent=float(row["crossing_tokens_percent"]),
        byte_percent=float(row["byte_tokens_percent"]),
        unknown_percent=float(row["unknown_tokens_percent"]),
    )

"""What the demo's model has learned: the measurements and their report in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from ..modeling.blanks_chinese_modernbert import Word
from ..modeling.filling_chinese_modernbert import fill_words
from ..runtime.markdown import markdown_table
from .corpus import ClozeExample


@dataclass(frozen=True)
class FillMaskComparison:
    """One held-out sentence before and after training."""

    text: str
    answer: str
    before: list[Word]
    after: list[Word]

    @property
    def is_right(self) -> bool:
        """Whether the trained model's first candidate is the answer."""
        return bool(self.after) and self.after[0].text == self.answer


@dataclass(frozen=True)
class DemoReport:
    """Everything that the demo measured."""

    seconds: float
    training_characters: int
    parameters: int
    evaluations: list[dict[str, Any]]
    losses: list[dict[str, Any]]
    fill_mask: list[FillMaskComparison]
    sentences: list[str]
    similarities: list[list[float]]
    verification: str
    release: str
    curves: str

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


def compare_fill_mask(
    before: PreTrainedModel,
    after: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[ClozeExample],
) -> list[FillMaskComparison]:
    """Return the five best words of both models for each held-out blank."""
    rows = []
    for example in examples:
        tokens = len(tokenizer(example.answer, add_special_tokens=False)["input_ids"])  # pyright: ignore[reportArgumentType]
        text = example.text_with_blank
        found = [fill_words(model, tokenizer, [text], tokens=tokens)[0] for model in (before, after)]
        best = [[filling.words[0] for filling in fillings] for fillings in found]
        rows.append(FillMaskComparison(text, example.answer, *best))
    return rows


@torch.no_grad()
def similarity_matrix(release: Path, sentences: Sequence[str]) -> list[list[float]]:
    """Return cosine similarities of mean-pooled vectors, encoded by the release as any user would load it.

    The mean of the six vectors is taken off first: what all sentences share would otherwise hide how they differ.
    """
    tokenizer = AutoTokenizer.from_pretrained(release, trust_remote_code=False)
    model = AutoModel.from_pretrained(release, trust_remote_code=True).eval()
    inputs = tokenizer(list(sentences), padding=True, return_tensors="pt")
    hidden = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1)
    vectors = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
    vectors = torch.nn.functional.normalize(vectors - vectors.mean(dim=0), dim=-1)
    return [[round(float(value), 3) for value in row] for row in vectors @ vectors.T]


def render_report(report: DemoReport) -> str:
    """Return the report as Markdown, readable on screen too."""
    last = report.evaluations[-1]
    right = sum(row.is_right for row in report.fill_mask)
    lines = [
        "# Demo: from raw text to a Hub folder",
        "",
        f"- corpus: {report.training_characters:,} characters of generated true sentences",
        f"- model: {report.parameters:,} parameters, pre-trained in {report.losses[-1]['step']} steps",
        f"- loss: {report.losses[0]['loss']:.2f} at first, {report.losses[-1]['loss']:.2f} at last "
        f"(curves: {report.curves})",
        f"- held-out masked words found: {last['eval_word_accuracy']:.1%}; "
        f"by the unigram guess: {last['eval_unigram_word_accuracy']:.1%}",
        f"- held-out blanks filled right at once: {right} of {len(report.fill_mask)}",
        f"- verification in a fresh process: {report.verification}",
        f"- everything took {report.seconds:.0f} seconds",
        "",
        "## Fill-mask, five best words",
        "",
        *markdown_table(
            ("sentence", "answer", "before training", "after training"),
            [
                (row.text.replace("{mask}", "▢"), row.answer, _words(row.before), _words(row.after))
                for row in report.fill_mask
            ],
        ),
        "",
        "## Similarity of six sentences (cosine, their common mean removed)",
        "",
        *(f"{number}. {sentence}" for number, sentence in enumerate(report.sentences, start=1)),
        "",
        *markdown_table(
            ("", *range(1, len(report.sentences) + 1)),
            [(number, *(f"{value:+.2f}" for value in row)) for number, row in enumerate(report.similarities, start=1)],
        ),
        "",
        f"Hub folder: {report.release}",
        "",
    ]
    return "\n".join(lines)


def _words(candidates: Sequence[Word]) -> str:
    """Return candidates in one table cell; a line break, or a word of blanks alone, is shown by a sign."""
    return " ".join(candidate.text.strip().replace("\n", "⏎") or "␣" for candidate in candidates)

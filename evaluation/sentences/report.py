"""The report of sentence encoders side by side: Markdown, JSON and two pictures, from scores that are at hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ...runtime.environment import describe_environment
from ...runtime.files import write_text_atomically
from .pictures import draw_similarity, draw_spectrum
from .quantization import PRECISIONS
from .scores import SentenceScores
from .similarity import Estimate

REPORT, REPORT_JSON, SIMILARITY_PICTURE, SPECTRUM_PICTURE = "report.md", "report.json", "similarity.png", "spectrum.png"
PACKAGES = ("sentence-transformers", "tokenizers", "numpy", "scipy", "scikit-learn", "bm25s")
MEASURES = ("pearson", "spearman", "auc")
RANKINGS = ("ndcg@10", "mrr@10", "recall@1", "recall@10", "recall@100")


@dataclass(frozen=True)
class ScoredEncoder:
    """An encoder of the report.

    Attributes:
        name: What the rows call it.
        role: `baseline` (trained on no pairs), `other` (another model) or `stage` (the model itself).
        scores: All its results.
    """

    name: str
    role: Literal["baseline", "other", "stage"]
    scores: SentenceScores


def write_sentence_report(
    output: Path,
    encoders: Sequence[ScoredEncoder],
    settings: Mapping[str, Any],
    resamples: int,
    mteb_scores: Mapping[str, float] | None = None,
) -> Path:
    """Write the report.

    Args:
        output: Folder of the report.
        encoders: In the order of the rows; the last one is what the others are compared with.
        settings: What was asked for; `model` is in the title.
        resamples: Bootstrap samples of the paired differences.
        mteb_scores: Main score of each task of mteb, of the last encoder; none by default.

    Returns:
        The Markdown file.

    Raises:
        ValueError: If two encoders were scored on other pairs under the same name.
    """
    last = encoders[-1].scores
    gains = {one.name: last.gains_over(one.scores, resamples) for one in encoders[:-1]}
    environment = describe_environment(*PACKAGES)
    content = {
        "settings": dict(settings),
        "environment": environment,
        "encoders": [_plain(one, gains.get(one.name, {})) for one in encoders],
        "mteb": dict(mteb_scores or {}),
    }
    write_text_atomically(output / REPORT_JSON, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    pictures = {}
    if last.similarity:
        stages = [one for one in encoders if one.role == "stage"]
        shown = [stages[0], stages[-1]] if len(stages) > 1 else stages
        pictures["cosines of alike and of different pairs"] = draw_similarity(shown, output / SIMILARITY_PICTURE)
        pictures["share of the variance by principal component"] = draw_spectrum(encoders, output / SPECTRUM_PICTURE)
    lines = _markdown(encoders, gains, settings, environment, pictures, mteb_scores or {})
    write_text_atomically(output / REPORT, "\n".join(lines) + "\n")
    return output / REPORT


def _plain(one: ScoredEncoder, gains: Mapping[str, Estimate]) -> dict[str, Any]:
    """Return an encoder's figures without its single cosines, which lie beside it in `scores.json`."""
    found = one.scores.as_dict()
    for name, similarity in found["similarity"].items():
        del similarity["gold"], similarity["cosines"]
        if name in gains:
            similarity["spearman_of_the_last_minus_this"] = asdict(gains[name])
    return {"name": one.name, "role": one.role, **found}


def _markdown(
    encoders: Sequence[ScoredEncoder],
    gains: Mapping[str, Mapping[str, Estimate]],
    settings: Mapping[str, Any],
    environment: Mapping[str, str],
    pictures: Mapping[str, Path],
    mteb_scores: Mapping[str, float],
) -> list[str]:
    lines = [
        f"# Sentence embeddings: {settings['model']}",
        "",
        "Intervals hold 95 % of bootstrap samples of the pairs. The last column is the Spearman of the last row minus "
        "that of the row, on the same pairs; it is beyond chance where its interval leaves 0 out.",
    ]
    for name in _names(one.scores.similarity for one in encoders):
        lines += _pairs_section(name, encoders, gains)
    for name in _names(one.scores.retrieval for one in encoders):
        lines += _retrieval_section(name, encoders)
    if any(one.scores.similarity for one in encoders):
        lines += _space_section(encoders)
    if mteb_scores:
        lines += ["", f"## mteb, {encoders[-1].name}", "", *_head("task", "main score")]
        lines += [_row(name, f"{score:.4f}") for name, score in mteb_scores.items()]
    for title, file in pictures.items():
        lines += ["", f"![{title}]({file.name})"]
    lines += ["", "## Settings", "", *(f"- {name}: {_written(value)}" for name, value in settings.items())]
    return [*lines, "", "## Machine", "", *(f"- {name}: {value}" for name, value in environment.items())]


def _names(tables: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the sets of all encoders, each once, in their order."""
    return list(dict.fromkeys(name for table in tables for name in table))


def _pairs_section(
    name: str, encoders: Sequence[ScoredEncoder], gains: Mapping[str, Mapping[str, Estimate]]
) -> list[str]:
    found = {one.name: one.scores.similarity[name] for one in encoders if name in one.scores.similarity}
    first = next(iter(found.values()))
    measures = [measure for measure in MEASURES if measure in first.scores]
    lines = ["", f"## {name}", "", f"{first.pairs:,} pairs; no score without ties passes Spearman {first.ceiling:.4f}."]
    lines += ["", *_head("encoder", *measures, "last minus this")]
    for encoder, result in found.items():
        cells = [str(result.scores[measure]) for measure in measures]
        gain = gains.get(encoder, {}).get(name)
        more = "" if gain is None else f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
        lines.append(_row(encoder, *cells, more))
    return lines


def _retrieval_section(name: str, encoders: Sequence[ScoredEncoder]) -> list[str]:
    """Return the table of a retrieval set; quantised vectors show how much of nDCG@10 they keep."""
    lines = ["", f"## {name}, retrieval", ""]
    lines += _head("encoder", *RANKINGS, *(f"{precision} keeps" for precision in PRECISIONS))
    for one in encoders:
        if name not in one.scores.retrieval:
            continue
        found = one.scores.retrieval[name]
        kept = [
            f"{found[f'ndcg@10 {precision}'] / found['ndcg@10']:.1%}"
            if found.get(f"ndcg@10 {precision}") is not None and found["ndcg@10"]
            else ""
            for precision in PRECISIONS
        ]
        lines.append(_row(one.name, *(f"{found[measure]:.4f}" for measure in RANKINGS), *kept))
    return lines


def _space_section(encoders: Sequence[ScoredEncoder]) -> list[str]:
    lines = ["", "## Space", ""]
    lines += ["Anisotropy is the mean cosine of two random texts; uniformity and alignment are better lower."]
    lines += ["", *_head("set", "encoder", "anisotropy", "uniformity", "alignment", "first component")]
    for name in _names(one.scores.similarity for one in encoders):
        for one in encoders:
            space = one.scores.similarity[name].space if name in one.scores.similarity else None
            if space is not None:
                figures = [f"{value:.4f}" for value in (space.anisotropy, space.uniformity, space.alignment)]
                lines.append(_row(name, one.name, *figures, f"{space.first_component:.1%}"))
    return lines


def _head(*cells: str) -> list[str]:
    return [_row(*cells), _row(*("---" for _ in cells))]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

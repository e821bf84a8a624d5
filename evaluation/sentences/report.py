"""The report of several sentence encoders: Markdown, JSON and two pictures, from scores that were computed before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...runtime.environment import describe_environment
from ...runtime.files import write_text_atomically
from ...runtime.markdown import markdown_table
from ...runtime.pictures import COLORS, new_figure, save_picture_atomically
from ..estimates import Estimate
from ..retrieval.vectors import PRECISIONS
from .files import NEGATIVE_SCORE, POSITIVE_SCORE
from .scores import SentenceScores

REPORT, REPORT_JSON, SIMILARITY_PICTURE, SPECTRUM_PICTURE = "report.md", "report.json", "similarity.png", "spectrum.png"
PACKAGES = ("sentence-transformers", "tokenizers", "numpy", "scipy", "scikit-learn", "bm25s")
MEASURES = ("pearson", "spearman", "auc")
BINS = 60
POSITIVE, NEGATIVE = COLORS[:2]
RANKINGS = ("ndcg@10", "mrr@10", "recall@1", "recall@10", "recall@100")


@dataclass(frozen=True)
class ScoredEncoder:
    """An encoder of the report.

    Attributes:
        name: what the rows call it
        role: `baseline` (trained on no pairs), `other` (another model), `stage` (the model itself) or `size` (its
            vectors cut short)
        scores: all its results
    """

    name: str
    role: Literal["baseline", "other", "stage", "size"]
    scores: SentenceScores


def write_sentence_report(
    output: Path,
    encoders: Sequence[ScoredEncoder],
    settings: Mapping[str, Any],
    resamples: int,
    mteb_scores: Mapping[str, float] | None = None,
    data: Mapping[str, str] | None = None,
) -> Path:
    """Write the report.

    Args:
        output: folder of the report
        encoders: in the order of the rows; the last one is what the others are compared with
        settings: what was asked for; `model` is in the title
        resamples: bootstrap samples of the paired differences
        mteb_scores: main score of each task of mteb, of the last encoder; none by default
        data: what was trained on, left out and found in both training and evaluation, by title; none by default

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
        "data": dict(data or {}),
    }
    write_text_atomically(output / REPORT_JSON, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    pictures = {}
    if last.similarity:
        stages = [one for one in encoders if one.role == "stage"]
        shown = [stages[0], stages[-1]] if len(stages) > 1 else stages
        pictures["cosines of alike and of different pairs"] = draw_similarity(shown, output / SIMILARITY_PICTURE)
        pictures["share of the variance by principal component"] = draw_spectrum(
            [one for one in encoders if one.role != "size"], output / SPECTRUM_PICTURE
        )
    lines = _markdown(encoders, gains, content, pictures)
    write_text_atomically(output / REPORT, "\n".join(lines) + "\n")
    return output / REPORT


def _plain(one: ScoredEncoder, gains: Mapping[str, Estimate]) -> dict[str, Any]:
    """Return an encoder's scores without its single cosines, which are in its `scores.json`."""
    found = one.scores.as_dict()
    for name, similarity in found["similarity"].items():
        del similarity["gold"], similarity["cosines"]
        if name in gains:
            similarity["spearman_of_the_last_minus_this"] = asdict(gains[name])
    return {"name": one.name, "role": one.role, **found}


def _markdown(
    encoders: Sequence[ScoredEncoder],
    gains: Mapping[str, Mapping[str, Estimate]],
    content: Mapping[str, Any],
    pictures: Mapping[str, Path],
) -> list[str]:
    settings, mteb_scores = content["settings"], content["mteb"]
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
        rows = ((name, f"{score:.4f}") for name, score in mteb_scores.items())
        lines += ["", f"## mteb, {encoders[-1].name}", "", *markdown_table(("task", "main score"), rows)]
    for title, file in pictures.items():
        lines += ["", f"![{title}]({file.name})"]
    for title, rows in (("Data", content["data"]), ("Settings", settings), ("Machine", content["environment"])):
        if rows:
            lines += ["", f"## {title}", "", *(f"- {name}: {_written(value)}" for name, value in rows.items())]
    return lines


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
    rows = []
    for encoder, result in found.items():
        cells = [str(result.scores[measure]) for measure in measures]
        gain = gains.get(encoder, {}).get(name)
        more = "" if gain is None else gain.signed
        rows.append((encoder, *cells, more))
    return [*lines, "", *markdown_table(("encoder", *measures, "last minus this"), rows)]


def _retrieval_section(name: str, encoders: Sequence[ScoredEncoder]) -> list[str]:
    """Return the table of a retrieval set; quantized vectors show how much of nDCG@10 they keep."""
    rows = []
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
        rows.append((one.name, *(f"{found[measure]:.4f}" for measure in RANKINGS), *kept))
    titles = ("encoder", *RANKINGS, *(f"{precision} keeps" for precision in PRECISIONS))
    return ["", f"## {name}, retrieval", "", *markdown_table(titles, rows)]


def _space_section(encoders: Sequence[ScoredEncoder]) -> list[str]:
    about = "Anisotropy is the mean cosine of two random texts; uniformity and alignment are better lower."
    rows = []
    for name in _names(one.scores.similarity for one in encoders):
        for one in encoders:
            space = one.scores.similarity[name].space if name in one.scores.similarity else None
            if space is not None:
                cells = [f"{value:.4f}" for value in (space.anisotropy, space.uniformity, space.alignment)]
                rows.append((name, one.name, *cells, f"{space.first_component:.1%}"))
    titles = ("set", "encoder", "anisotropy", "uniformity", "alignment", "first component")
    return ["", "## Space", "", about, "", *markdown_table(titles, rows)]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def draw_similarity(encoders: Sequence[ScoredEncoder], picture: Path) -> Path:
    """Draw the histogram of cosines, one column per encoder, one row per set.

    Args:
        encoders: mostly two: before and after training
        picture: PNG file to write

    Raises:
        ImportError: If matplotlib is not installed.
    """
    sets = list(encoders[-1].scores.similarity)
    figure, panels = _panels(len(sets), len(encoders))
    for row, name in zip(panels, sets, strict=True):
        for axes, one in zip(row, encoders, strict=True):
            found = one.scores.similarity.get(name)
            axes.set_title(f"{name}: {one.name}", fontsize="small")
            if found is None:
                continue
            edges = np.linspace(min(found.cosines.min(), 0.0), 1.0, BINS + 1)
            for label, color, chosen in (
                ("alike", POSITIVE, found.gold >= POSITIVE_SCORE),
                ("different", NEGATIVE, found.gold <= NEGATIVE_SCORE),
            ):
                if chosen.any():
                    style = {"alpha": 0.55, "density": True, "color": color}
                    axes.hist(found.cosines[chosen], edges, label=f"{label} ({chosen.sum():,})", **style)
            axes.set_xlabel("cosine")
            axes.legend(fontsize="x-small", frameon=False)
        row[0].set_ylabel("density of pairs")
    return save_picture_atomically(figure, picture)


def draw_spectrum(encoders: Sequence[ScoredEncoder], picture: Path) -> Path:
    """Draw the singular values of the centered vectors of each set's texts, as shares of their squares' sum.

    Args:
        encoders: one line each; those without a space on a set are left out there
        picture: PNG file to write

    Raises:
        ImportError: If matplotlib is not installed.
    """
    sets = list(encoders[-1].scores.similarity)
    figure, panels = _panels(len(sets), 1)
    for axes, name in zip(panels[:, 0], sets, strict=True):
        for number, one in enumerate(encoders):
            found = one.scores.similarity.get(name)
            if found is not None and found.space is not None:
                shares = np.array(found.space.spectrum)
                color = COLORS[number % len(COLORS)]
                axes.loglog(np.arange(1, len(shares) + 1), shares.clip(min=1e-6), label=one.name, color=color)
        axes.set_title(name, fontsize="small")
        axes.set_xlabel("principal component")
        axes.set_ylabel("share of the variance")
        axes.grid(alpha=0.25)
        axes.legend(fontsize="x-small", frameon=False)
    return save_picture_atomically(figure, picture)


def _panels(rows: int, columns: int) -> tuple[Any, Any]:
    figure = new_figure(max(6.0, 4.5 * columns), 3.0 * rows)
    return figure, figure.subplots(rows, columns, squeeze=False)

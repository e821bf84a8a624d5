"""The report of several searchers: a table of what each finds and costs, in Markdown and JSON, and a chart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...runtime.environment import describe_environment
from ...runtime.files import write_text_atomically
from ...runtime.markdown import markdown_table
from ...runtime.pictures import COLORS, new_figure, save_picture_atomically
from ..estimates import RESAMPLES, Estimate
from .results import SearchResult

REPORT, REPORT_JSON, PICTURE = "report.md", "report.json", "quality-and-time.png"
PACKAGES = ("sentence-transformers", "tokenizers", "numpy", "scipy", "bm25s")
BASELINE = "bm25"
# Kind: what the chart calls it, and its marker; a kind of somebody else's goes by its own name.
MARKERS = {
    "bm25": ("BM25", "s"),
    "dense": ("dense", "o"),
    "sparse": ("sparse", "^"),
    "sparse_documents": ("sparse, no encoder for queries", "v"),
    "late_interaction": ("late interaction", "D"),
    "reranker": ("reranker", "*"),
    "fused": ("fused", "P"),
}
OTHER_MARKER, OTHER_COLOR = "X", "#666666"
MEASURES = {"ndcg@10": "nDCG@10", "mrr@10": "MRR@10", "recall@100": "Recall@100"}
COSTS = ("ms per query", "ms per document", "index, MB", "model, MB")
MEGABYTE = 1e6


def write_search_report(
    output: Path,
    results: Sequence[SearchResult],
    settings: Mapping[str, Any],
    resamples: int = RESAMPLES,
    data: Mapping[str, str] | None = None,
    models: Mapping[str, str] | None = None,
) -> Path:
    """Write the report.

    Args:
        output: folder of the report
        results: in the order of the rows; those of one task make a table
        settings: what was asked for; `model` is in the title, if it is there
        resamples: bootstrap samples of the paired gains
        data: what was trained on, left out and found in both training and evaluation, by title; none by default
        models: what names all files of the model of a row, by the row's name, see `model_files_fingerprint`; none by
            default

    Returns:
        The Markdown file.

    Raises:
        ValueError: If there are no results, two of one task have one name, or they searched different ones.
    """
    tasks = _by_task(results)
    gains = {name: _gains(rows, resamples) for name, rows in tasks.items()}
    content = {
        "settings": dict(settings),
        "environment": describe_environment(*PACKAGES),
        "results": [
            {**_plain(one, gains[one.task].get(one.name)), "model": (models or {}).get(one.name)} for one in results
        ],
        "data": dict(data or {}),
    }
    write_text_atomically(output / REPORT_JSON, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    picture = draw_quality(tasks, output / PICTURE)
    lines = [f"# Search: {settings['model']}" if "model" in settings else "# Search", "", *_ABOUT]
    for name, rows in tasks.items():
        lines += _section(name, rows, gains[name])
    lines += ["", f"![nDCG@10 against milliseconds per query]({picture.name})"]
    for title, rows in (("Data", content["data"]), ("Settings", settings), ("Machine", content["environment"])):
        if rows:
            lines += ["", f"## {title}", "", *(f"- {name}: {_written(value)}" for name, value in rows.items())]
    write_text_atomically(output / REPORT, "\n".join(lines) + "\n")
    return output / REPORT


_ABOUT = [
    "Every search is exact: each query is compared with all passages, a reranker reads the first hits of another "
    "search. The gain is that in nDCG@10 over BM25 on the same queries, with the interval that holds 95 % of paired "
    "bootstrap samples; it is beyond chance where the interval leaves 0 out. The time of a query is the median of "
    "queries asked one at a time, from its text to its hits; that of a document is what building the index takes. An "
    "index is counted without the texts, a model with all its sides.",
]


def _by_task(results: Sequence[SearchResult]) -> dict[str, list[SearchResult]]:
    """Return the results of each task; see `write_search_report` for what is refused."""
    if not results:
        raise ValueError("there are no results to report; measure a searcher first")
    tasks: dict[str, list[SearchResult]] = {}
    for one in results:
        rows = tasks.setdefault(one.task, [])
        if one.name in (row.name for row in rows):
            raise ValueError(f"two results are called '{one.name}'; give measure_search a name for each")
        rows.append(one)
    return tasks


def _gains(rows: Sequence[SearchResult], resamples: int) -> dict[str, Estimate]:
    """Return the gain of each row over BM25; none where BM25 is not among them."""
    baseline = next((one for one in rows if one.kind == BASELINE), None)
    if baseline is None:
        return {}
    return {one.name: one.gain_over(baseline, resamples) for one in rows if one is not baseline}


def _plain(one: SearchResult, gain: Estimate | None) -> dict[str, Any]:
    """Return a result with the number of its queries in the place of single ones, which are in its own file."""
    found = {name: value for name, value in one.as_dict().items() if name != "query_ndcg"}
    found["queries"] = len(one.query_ndcg)
    return found if gain is None else {**found, "gain_over_bm25": asdict(gain)}


def _section(name: str, rows: Sequence[SearchResult], gains: Mapping[str, Estimate]) -> list[str]:
    cells = []
    for one in rows:
        gain = gains.get(one.name)
        cells.append(
            (
                one.name,
                _marker(one.kind)[0],
                *(f"{one.measures[measure]:.4f}" for measure in MEASURES),
                "" if gain is None else gain.signed,
                f"{one.milliseconds_per_query:.2f}",
                f"{one.milliseconds_per_document:.2f}",
                f"{one.index_bytes / MEGABYTE:.2f}",
                f"{one.model_bytes / MEGABYTE:.1f}",
            )
        )
    titles = ("search", "kind", *MEASURES.values(), "over BM25", *COSTS)
    about = f"{len(rows[0].query_ndcg):,} queries."
    return ["", f"## {name or 'Results'}", "", about, "", *markdown_table(titles, cells)]


def _marker(kind: str) -> tuple[str, str]:
    """Return what the chart calls a kind, and its marker."""
    return MARKERS.get(kind, (kind, OTHER_MARKER))


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def draw_quality(tasks: Mapping[str, Sequence[SearchResult]], picture: Path) -> Path:
    """Draw nDCG@10 against milliseconds per query, a panel for each task.

    Args:
        tasks: results of each task
        picture: PNG file to write

    Raises:
        ImportError: If matplotlib is not installed.
    """
    figure = new_figure(7.5, 4.2 * len(tasks))
    colors = dict(zip(MARKERS, COLORS, strict=True))
    times = [one.milliseconds_per_query for rows in tasks.values() for one in rows]
    middle = (min(times) * max(times)) ** 0.5  # names of points right of it stand left of them
    for axes, (name, rows) in zip(figure.subplots(len(tasks), 1, squeeze=False)[:, 0], tasks.items(), strict=True):
        for kind in dict.fromkeys(one.kind for one in rows):
            title, marker = _marker(kind)
            of_kind = [one for one in rows if one.kind == kind]
            points = [(one.milliseconds_per_query, one.measures["ndcg@10"]) for one in of_kind]
            axes.scatter(
                *zip(*points, strict=True),
                marker=marker,
                s=70,
                color=colors.get(kind, OTHER_COLOR),
                label=title,
                zorder=3,
            )
            for one, point in zip(of_kind, points, strict=True):
                place: dict[str, Any] = {"xytext": (6, 5)} if point[0] <= middle else {"xytext": (-6, 5), "ha": "right"}
                axes.annotate(one.name, point, textcoords="offset points", fontsize="x-small", **place)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(0.18, 0.12)
        axes.set_xlabel("milliseconds per query")
        axes.set_ylabel("nDCG@10")
        axes.set_title(name, fontsize="small")
        axes.grid(alpha=0.25, which="both")
        axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return save_picture_atomically(figure, picture)

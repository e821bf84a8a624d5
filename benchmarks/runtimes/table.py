"""Rows of the matrix, the bars that they have to reach, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chinese_modernbert.runtime.markdown import markdown_table

# Smallest cosine of a text's numbers with torch's, and their largest difference as a share of the largest number: a
# wrong mask may hide from the cosine. Tokens have to be equal: there the difference counts texts. Source: our default.
LOWEST_COSINE = {"float32": 0.9999, "bfloat16": 0.99, "int8": 0.99}
LARGEST_DIFFERENCE = {"float32": 1e-3, "tokens": 0.0}
HEADER = ("runtime", "version", "task", "precision", "cosine", "difference", "seconds", "")
SUMMARY_HEADER = ("runtime", "version", "tasks", "precision", "lowest cosine", "largest difference", "seconds", "")
NOT_RUN = "not run"


@dataclass(frozen=True)
class Row:
    """One task in one runtime.

    Attributes:
        runtime: its name, and which way of loading
        version: of the runtime
        task: what was computed
        precision: `float32`, `bfloat16`, `int8`, or `tokens`
        cosine: smallest of all texts, against torch; `None` for tokens
        difference: largest of all texts, as a share of the largest number; for tokens, texts with other ones
        seconds: loading, and running all texts
        error: why there are no numbers; empty where there are
        is_missing: the runtime is not installed
    """

    runtime: str
    version: str
    task: str
    precision: str = "float32"
    cosine: float | None = None
    difference: float | None = None
    seconds: float | None = None
    error: str = ""
    is_missing: bool = False

    def fault(self) -> str:
        """Return what is wrong with the row, in a few words; empty where nothing is."""
        if self.is_missing:
            return f"{NOT_RUN}: {self.error}"
        if self.error:
            return f"failed: {self.error}"
        lowest, largest = LOWEST_COSINE.get(self.precision), LARGEST_DIFFERENCE.get(self.precision)
        # Written so that a number that is missing or not a number misses the bar.
        if lowest is not None and not (self.cosine is not None and self.cosine >= lowest):
            return f"below {lowest}"
        if largest is not None and not (self.difference is not None and self.difference <= largest):
            return f"above {largest:g}"
        return "" if self.precision in LOWEST_COSINE or self.precision in LARGEST_DIFFERENCE else "no bar"


def failures(rows: Sequence[Row], allow_missing: bool = False) -> list[Row]:
    """Return the rows that miss a bar, and those that did not run unless these are allowed."""
    return [row for row in rows if row.fault() and not (allow_missing and row.is_missing)]


def render(rows: Sequence[Row]) -> str:
    """Return the table as Markdown; a row that misses its bar says so in the last column, in bold."""
    return "\n".join(markdown_table(HEADER, (_cells(row) for row in rows)))


def summarize(rows: Sequence[Row]) -> str:
    """Return a table with one line for each runtime, version and precision: the worst of its tasks."""
    return "\n".join(markdown_table(SUMMARY_HEADER, (_cells(row) for row in worst_of_tasks(rows))))


def worst_of_tasks(rows: Sequence[Row]) -> list[Row]:
    """Return one row for each runtime, version and precision; its task is how many there were."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.runtime, row.version, row.precision), []).append(row)
    lines = []
    for names, group in groups.items():
        cosines = [row.cosine for row in group if row.cosine is not None]
        differences = [row.difference for row in group if row.difference is not None]
        error = next((row.error or row.fault() for row in group if row.fault()), "")
        is_missing = any(row.is_missing for row in group)
        worst = Row(
            *(names[0], names[1], str(len(group)), names[2]),
            cosine=min(cosines, default=None),
            difference=max(differences, default=None),
            seconds=sum(row.seconds or 0.0 for row in group),
            error=error,
            is_missing=is_missing,
        )
        lines.append(worst)
    return lines


def rows_of_the_card(rows: Sequence[Row]) -> list[dict[str, str | float | None]]:
    """Return what `hub_release/card/runtimes.json` holds, for the model card of every native release."""
    names = ("runtime", "version", "precision", "cosine", "difference")
    return [
        {name: getattr(row, name) for name in names} for row in worst_of_tasks(rows) if row.cosine and not row.fault()
    ]


def _cells(row: Row) -> tuple[str, ...]:
    fault = row.fault()
    return (
        row.runtime,
        row.version,
        row.task,
        row.precision,
        "" if row.cosine is None else f"{row.cosine:.6f}",
        "" if row.difference is None else f"{row.difference:.1e}" if row.cosine is not None else f"{row.difference:g}",
        "" if row.seconds is None else f"{row.seconds:.1f}",
        f"**{fault}**" if fault else "",
    )

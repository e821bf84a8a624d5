"""Markdown tables of reports, records and cards."""

from collections.abc import Iterable


def markdown_table(header: Iterable[object], rows: Iterable[Iterable[object]]) -> list[str]:
    """Return the lines of a table: header, rule, rows.

    Args:
        header: titles of the columns
        rows: the cells of each row, as many as the header has

    Raises:
        ValueError: If a row has another number of cells; a shorter one would shift its values under other titles.
    """
    titles = list(header)
    lines = [_line(titles), _line(["---"] * len(titles))]
    for row in rows:
        cells = list(row)
        if len(cells) != len(titles):
            raise ValueError(f"a row of {len(cells)} cells does not fit a table of {len(titles)} columns")
        lines.append(_line(cells))
    return lines


def _line(cells: Iterable[object]) -> str:
    """Return one line; a `|` in a cell is escaped, and line breaks and runs of blanks become one blank."""
    return "| " + " | ".join(" ".join(str(cell).replace("|", "\\|").split()) for cell in cells) + " |"

"""T2Ranking in its official layout: a collection of passages, queries, judgments, and mined negatives.

Files of a folder, cells cut at tabs, a line of names at the top or none: `collection.tsv` (passage id, text),
`queries.SPLIT.tsv` (query id, text), `qrels.retrieval.SPLIT.tsv` (query id, id of a passage that answers it), and where
they are there `qrels.SPLIT.tsv` (query id, anything, passage id, grade 0 to 3) and `SPLIT.mined.tsv` or
`SPLIT.bm25.tsv` (query id, passage id, rank, and a score). Source: github.com/THUIR/T2Ranking.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...tokenization.normalization import check_encodable
from .rows import ReadRows, ScoredPair, Triplet, read_cells

COLLECTION = "collection.tsv"
NEGATIVE_FILES = ("{split}.mined.tsv", "{split}.bm25.tsv")
HIGHEST_GRADE = 3
# Negatives of a query that are kept, best first. Source: our default.
NEGATIVES = 8


def read_ranking(folder: Path, split: str, found: ReadRows) -> None:
    """Read a split: a triplet for each passage that answers a query, scored pairs from the grades.

    Passages that no judgment of the split names become `found.passages`, to search among; for "train" they are left
    out.

    Args:
        folder: folder of the files
        split: "train" or "dev"
        found: is filled

    Raises:
        FileNotFoundError: If collection, queries or judgments are missing.
        ValueError: With file and line, for another number of cells, an id that is no number, an id given twice, an
            empty text, a grade out of range, or a judgment of an unknown query or passage.
    """
    queries = dict(_texts(folder / f"queries.{split}.tsv"))
    relevant = _judgments(folder / f"qrels.retrieval.{split}.tsv", queries)
    mined = [folder / name.format(split=split) for name in NEGATIVE_FILES]
    mined = [file for file in mined if file.is_file()][:1]
    negatives = _judgments(mined[0], queries, cells=(3, 4), most=NEGATIVES) if mined else {}
    graded_file = folder / f"qrels.{split}.tsv"
    graded = list(_grades(graded_file, queries)) if graded_file.is_file() else []
    used = {passage for table in (relevant, negatives) for row in table.values() for passage in row}
    used |= {passage for _, _, passage, _ in graded}
    passages: dict[int, str] = {}
    for number, text in _texts(folder / COLLECTION):
        if number in used:
            passages[number] = text
        elif split != "train":
            found.passages.append(text)
    named = [location for table in (relevant, negatives) for row in table.values() for location in row.items()]
    for passage, location in [*named, *((passage, location) for location, _, passage, _ in graded)]:
        if passage not in passages:
            raise ValueError(f"{location}: passage {passage} is not in {COLLECTION}")
    for query, row in relevant.items():
        against = tuple(passages[one] for one in negatives.get(query, ()) if one not in row)
        found.triplets += [Triplet(queries[query], passages[one], against) for one in row]
    for _, query, passage, grade in graded:
        found.pairs.append(ScoredPair(queries[query], passages[passage], grade / HIGHEST_GRADE))


def _texts(file: Path) -> Iterator[tuple[int, str]]:
    """Yield (id, text) of each line."""
    seen: set[int] = set()
    for location, cells in _rows(file, (2,)):
        number = _number(cells[0], location)
        if number in seen:
            raise ValueError(f"{location}: id {number} is given twice")
        if not cells[1].strip():
            raise ValueError(f"{location}: the text of {number} is empty")
        check_encodable(cells[1], location)
        seen.add(number)
        yield number, cells[1]


def _judgments(
    file: Path, queries: dict[int, str], cells: tuple[int, ...] = (2,), most: int | None = None
) -> dict[int, dict[int, str]]:
    """Return query -> passage -> where it is written, at most `most` passages of each."""
    found: dict[int, dict[int, str]] = {}
    for location, row in _rows(file, cells):
        query, passage = _query(row[0], queries, location), _number(row[1], location)
        own = found.setdefault(query, {})
        if most is None or len(own) < most:
            own[passage] = location
    return found


def _grades(file: Path, queries: dict[int, str]) -> Iterator[tuple[str, int, int, int]]:
    for location, (query, _, passage, written) in _rows(file, (4,)):
        grade = _number(written, location)
        if grade > HIGHEST_GRADE:
            raise ValueError(f"{location}: grade {grade} is outside 0 to {HIGHEST_GRADE}")
        yield location, _query(query, queries, location), _number(passage, location), grade


def _rows(file: Path, expected: tuple[int, ...]) -> Iterator[tuple[str, list[str]]]:
    """Yield (location, cells) of each line but a first one of names."""
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; give the files of T2Ranking in their official layout")
    for number, (location, cells) in enumerate(read_cells(file)):
        if number == 0 and not cells[0].strip("\ufeff").isdigit():
            continue
        if len(cells) not in expected:
            raise ValueError(
                f"{location} has {len(cells)} cells, expected {' or '.join(map(str, expected))}, cut at tabs"
            )
        yield location, cells


def _number(cell: str, location: str) -> int:
    if not cell.isascii() or not cell.isdigit():
        raise ValueError(f"{location}: {cell!r} is no number from 0 on")
    return int(cell)


def _query(cell: str, queries: dict[int, str], location: str) -> int:
    query = _number(cell, location)
    if query not in queries:
        raise ValueError(f"{location}: query {query} is not in the file of queries")
    return query

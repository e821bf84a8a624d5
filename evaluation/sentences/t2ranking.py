"""T2Ranking in its official layout: a collection of passages, queries, judgements, and mined negatives.

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

    Passages that no judgement of the split names become `found.passages`, to search among; for "train" they are left
    out.

    Args:
        folder: Folder of the files.
        split: "train" or "dev".
        found: Is filled.

    Raises:
        FileNotFoundError: If collection, queries or judgements are missing.
        ValueError: With file and line, for another number of cells, an id that is no number, an id given twice, an
            empty text, a grade out of range, or a judgement of an unknown query or passage.
    """
    queries = dict(_texts(folder / f"queries.{split}.tsv"))
    relevant = _judgements(folder / f"qrels.retrieval.{split}.tsv", queries)
    mined = [folder / name.format(split=split) for name in NEGATIVE_FILES]
    mined = [file for file in mined if file.is_file()][:1]
    negatives = _judgements(mined[0], queries, cells=(3, 4), most=NEGATIVES) if mined else {}
    graded_file = folder / f"qrels.{split}.tsv"
    graded = list(_grades(graded_file, queries)) if graded_file.is_file() else []
    wanted = {passage for table in (relevant, negatives) for row in table.values() for passage in row}
    wanted |= {passage for _, _, passage, _ in graded}
    passages: dict[int, str] = {}
    for number, text in _texts(folder / COLLECTION):
        if number in wanted:
            passages[number] = text
        elif split != "train":
            found.passages.append(text)
    named = [place for table in (relevant, negatives) for row in table.values() for place in row.items()]
    for passage, place in [*named, *((passage, place) for place, _, passage, _ in graded)]:
        if passage not in passages:
            raise ValueError(f"{place}: passage {passage} is not in {COLLECTION}")
    for query, row in relevant.items():
        against = tuple(passages[one] for one in negatives.get(query, ()) if one not in row)
        found.triplets += [Triplet(queries[query], passages[one], against) for one in row]
    for _, query, passage, grade in graded:
        found.pairs.append(ScoredPair(queries[query], passages[passage], grade / HIGHEST_GRADE))


def _texts(file: Path) -> Iterator[tuple[int, str]]:
    """Yield (id, text) of each line."""
    seen: set[int] = set()
    for place, cells in _rows(file, (2,)):
        number = _number(cells[0], place)
        if number in seen:
            raise ValueError(f"{place}: id {number} is given twice")
        if not cells[1].strip():
            raise ValueError(f"{place}: the text of {number} is empty")
        check_encodable(cells[1], place)
        seen.add(number)
        yield number, cells[1]


def _judgements(
    file: Path, queries: dict[int, str], cells: tuple[int, ...] = (2,), most: int | None = None
) -> dict[int, dict[int, str]]:
    """Return query -> passage -> where it is written, at most `most` passages of each."""
    found: dict[int, dict[int, str]] = {}
    for place, row in _rows(file, cells):
        query, passage = _query(row[0], queries, place), _number(row[1], place)
        own = found.setdefault(query, {})
        if most is None or len(own) < most:
            own[passage] = place
    return found


def _grades(file: Path, queries: dict[int, str]) -> Iterator[tuple[str, int, int, int]]:
    for place, (query, _, passage, written) in _rows(file, (4,)):
        grade = _number(written, place)
        if grade > HIGHEST_GRADE:
            raise ValueError(f"{place}: grade {grade} is outside 0 to {HIGHEST_GRADE}")
        yield place, _query(query, queries, place), _number(passage, place), grade


def _rows(file: Path, wanted: tuple[int, ...]) -> Iterator[tuple[str, list[str]]]:
    """Yield (place, cells) of each line but a first one of names."""
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; give the files of T2Ranking in their official layout")
    for number, (place, cells) in enumerate(read_cells(file)):
        if number == 0 and not cells[0].strip("\ufeff").isdigit():
            continue
        if len(cells) not in wanted:
            raise ValueError(f"{place} has {len(cells)} cells, wanted {' or '.join(map(str, wanted))}, cut at tabs")
        yield place, cells


def _number(cell: str, place: str) -> int:
    if not cell.isascii() or not cell.isdigit():
        raise ValueError(f"{place}: {cell!r} is no number from 0 on")
    return int(cell)


def _query(cell: str, queries: dict[int, str], place: str) -> int:
    query = _number(cell, place)
    if query not in queries:
        raise ValueError(f"{place}: query {query} is not in the file of queries")
    return query

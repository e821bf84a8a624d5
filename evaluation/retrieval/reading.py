"""Tasks from sentence sets, and from a folder of one's own in the layout of BEIR."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...runtime.text_files import COMPRESSIONS
from ..sentences.files import SENTENCE_SETS, Kind, ReadRows, find_set, read_rows
from ..sentences.rows import checked_text, open_rows, read_cells
from .tasks import RetrievalTask, task_from_pairs, task_from_triplets

logger = logging.getLogger(__name__)

CORPUS, QUERIES, JUDGMENTS = "corpus.jsonl", "queries.jsonl", "qrels"


def read_retrieval_task(name: str, folder: str | Path = "", split: str = "test") -> RetrievalTask:
    """Read a set as a task.

    Args:
        name: a sentence set of the table (`dureader`, `qbqtc:test`), a file as `find_set` takes it, or a folder as
            `read_beir` takes it (`FOLDER`, `FOLDER:test`)
        folder: folder that the files of the table are relative to
        split: split that is read where the name has none

    Raises:
        FileNotFoundError, ValueError: See `find_set`, `read_rows` and `read_beir`; if no query has an answer.
    """
    bare, _, own = (name, "", "") if Path(name).exists() else name.partition(":")
    if Path(bare).is_dir() and bare not in SENTENCE_SETS:
        if own and not (Path(bare) / JUDGMENTS).is_dir():
            raise FileNotFoundError(f"{name} names a split, and {bare} has {JUDGMENTS}.tsv alone; leave '{own}' out")
        return read_beir(Path(bare), own or split)
    one = find_set(bare)
    found = read_rows(one, own or split, "" if Path(bare).is_file() else folder)
    try:
        return task_of_rows(found, one.kind)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def task_of_rows(found: ReadRows, kind: Kind) -> RetrievalTask:
    """Return the rows of a sentence set as a task.

    Args:
        found: the rows
        kind: see `SentenceSet`; scored pairs are answers from `RELEVANT_GRADE` on, with their grades

    Raises:
        ValueError: If no query has an answer.
    """
    if kind in ("scores", "answers"):
        return task_from_pairs(found.pairs, found.passages)
    return task_from_triplets(found.triplets, found.passages, found.pairs)


def read_beir(folder: Path, split: str = "test") -> RetrievalTask:
    """Read a folder of `corpus.jsonl`, `queries.jsonl` and `qrels.tsv`, or `qrels/SPLIT.tsv`.

    A passage is its title and its text, if it has one, with a blank between. Equal texts are one passage or one query.
    A judgment of 0 says that the passage does not answer. Queries without an answer are left out. Files may be
    compressed.

    Args:
        folder: the folder
        split: which file of the folder `qrels` is read, where there is one

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: With file and line, for an empty text, an id given twice, a judgment of what is not there, one that
            is no number from 0 on, or two of one pair.
    """
    passages, queries = _texts(_file(folder, CORPUS)), _texts(_file(folder, QUERIES))
    own = folder / JUDGMENTS
    judged = _judgments(_file(own, f"{split}.tsv") if own.is_dir() else _file(folder, f"{JUDGMENTS}.tsv"), queries)
    numbers = {text: number for number, text in enumerate(dict.fromkeys(passages.values()))}
    if len(numbers) < len(passages):
        logger.warning("%s: %d passages repeat others and count as one", folder, len(passages) - len(numbers))
    grades: dict[str, dict[int, float]] = {}
    for (query, passage), (location, grade) in judged.items():
        for one, known, file in ((query, queries, QUERIES), (passage, passages, CORPUS)):
            if one not in known:
                raise ValueError(f"{location}: '{one}' is no _id of {file}")
        if grade:
            own_grades, number = grades.setdefault(queries[query], {}), numbers[passages[passage]]
            own_grades[number] = max(grade, own_grades.get(number, 0.0))
    if not grades:
        raise ValueError(f"{folder}: no judgment is above 0, so nothing answers a query")
    logger.info("%s: %d of %d queries have an answer", folder, len(grades), len(queries))
    is_graded = len({grade for row in grades.values() for grade in row.values()}) > 1
    relevant = tuple(map(frozenset, grades.values()))
    return RetrievalTask(tuple(grades), tuple(numbers), relevant, tuple(grades.values()) if is_graded else ())


def _file(folder: Path, name: str) -> Path:
    """Return a file, or that of the same name with the suffix of a compression."""
    found = [folder / f"{name}{suffix}" for suffix in ("", *COMPRESSIONS)]
    present = [file for file in found if file.is_file()]
    if not present:
        raise FileNotFoundError(
            f"{folder / name} is missing; a folder for search holds {CORPUS}, {QUERIES} and {JUDGMENTS}.tsv or "
            f"{JUDGMENTS}/SPLIT.tsv"
        )
    return present[0]


def _texts(file: Path) -> dict[str, str]:
    """Return the texts of a file by their `_id`."""
    found: dict[str, str] = {}
    for location, row in open_rows(file):
        one = _id(row, location)
        if one in found:
            raise ValueError(f"{location}: _id '{one}' is given twice")
        names = [name for name in ("title", "text") if row.get(name)] or ["text"]
        found[one] = " ".join(checked_text(row, name, location) for name in names)
    return found


def _id(row: Mapping[str, Any], location: str) -> str:
    one = row.get("_id")
    if not isinstance(one, str | int) or isinstance(one, bool) or not str(one).strip():
        raise ValueError(f"{location}: field '_id' is {one!r}, expected a name or a number")
    return str(one)


def _judgments(file: Path, queries: Mapping[str, str]) -> dict[tuple[str, str], tuple[str, float]]:
    """Return (query, passage) -> where it is judged, and how."""
    found: dict[tuple[str, str], tuple[str, float]] = {}
    for number, (location, cells) in enumerate(read_cells(file)):
        if len(cells) != 3:
            raise ValueError(f"{location} has {len(cells)} cells, expected query-id, corpus-id and score, cut at tabs")
        query, passage, written = (cell.strip() for cell in cells)
        try:
            grade = float(written)
        except ValueError:
            if number == 0 and query not in queries:  # the names of the columns
                continue
            grade = -1.0
        if not 0 <= grade < float("inf"):
            raise ValueError(f"{location}: score '{written}' is no number from 0 on")
        before = found.setdefault((query, passage), (location, grade))
        if before != (location, grade):
            kinds = " once as an answer and once as none" if bool(before[1]) != bool(grade) else " twice"
            raise ValueError(f"{location}: '{passage}' is judged{kinds} for '{query}', first at {before[0]}")
    return found

"""What is searched: queries, passages, and which passages answer which query, how well."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..sentences.rows import ScoredPair, Triplet

# From which scaled grade on a passage answers its query, for the measures that know no grades: in KUAKE and T2Ranking
# 2 of 3, in QBQTC 1 of 2. Source: that of T2Ranking's own file for retrieval; our default for the others.
RELEVANT_GRADE = 0.5


@dataclass(frozen=True)
class RetrievalTask:
    """Queries, passages, and which passages answer which query.

    Attributes:
        queries: texts
        passages: texts, each once
        relevant: for each query the numbers of its passages, at least one
        grades: for each query the grade of every passage that is of some use to it, above 0, those of `relevant`
            among them; empty where all that is known is relevant or not
    """

    queries: tuple[str, ...]
    passages: tuple[str, ...]
    relevant: tuple[frozenset[int], ...]
    grades: tuple[Mapping[int, float], ...] = ()

    def __post_init__(self) -> None:
        if not self.queries:
            raise ValueError("no passage answers a query, so that there is nothing to ask")
        if len(self.queries) != len(self.relevant):
            raise ValueError(f"{len(self.queries)} queries and {len(self.relevant)} sets of passages do not fit")
        for number, found in enumerate(self.relevant):
            if not found or min(found) < 0 or max(found) >= len(self.passages):
                raise ValueError(f"query {number} names no passage, or one outside 0..{len(self.passages) - 1}")
        if self.grades and len(self.grades) != len(self.queries):
            raise ValueError(f"{len(self.queries)} queries and grades of {len(self.grades)} do not fit")
        for number, (found, graded) in enumerate(zip(self.relevant, self.grades, strict=False)):
            if not found <= graded.keys() or max(graded) >= len(self.passages) or min(graded.values()) <= 0:
                raise ValueError(
                    f"the grades of query {number} leave out one of its passages, name one outside "
                    f"0..{len(self.passages) - 1}, or are not above 0"
                )

    def gains(self, query: int) -> Mapping[int, float]:
        """Return what each passage is worth to a query: its grade, or 1 where there are none."""
        return self.grades[query] if self.grades else dict.fromkeys(self.relevant[query], 1.0)

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that name the task: results of other ones cannot be compared."""
        graded = [sorted(self.gains(number).items()) for number in range(len(self.queries))]
        relevant = [sorted(found) for found in self.relevant]
        content = repr((self.queries, self.passages, relevant, graded))
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class _Texts:
    """Numbers of texts, equal ones once."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))


def task_from_triplets(
    triplets: Sequence[Triplet], distractors: Iterable[str] = (), graded: Iterable[ScoredPair] = ()
) -> RetrievalTask:
    """Return the task to find each anchor's positives among all positives, negatives and `distractors`.

    Equal texts are one query or one passage, so that a text never competes with itself.

    Args:
        triplets: who answers whom
        distractors: further passages, which answer nothing
        graded: grades of passages for the anchors, from 0 to 1, of two the higher; a positive without one has 1
    """
    passages = _Texts()
    relevant: dict[str, set[int]] = {}
    for triplet in triplets:
        for text in (triplet.positive, *triplet.negatives):
            passages.number(text)
        relevant.setdefault(triplet.anchor, set()).add(passages.number(triplet.positive))
    grades: dict[str, dict[int, float]] = {}
    for pair in graded:
        number = passages.number(pair.second)
        if pair.score > 0 and pair.first in relevant:
            own = grades.setdefault(pair.first, {})
            own[number] = max(pair.score, own.get(number, 0.0))
    for text in distractors:
        passages.number(text)
    found = tuple({**dict.fromkeys(row, 1.0), **grades.get(query, {})} for query, row in relevant.items())
    return RetrievalTask(
        tuple(relevant), tuple(passages.numbers), tuple(map(frozenset, relevant.values())), found if grades else ()
    )


def task_from_pairs(pairs: Sequence[ScoredPair], distractors: Iterable[str] = ()) -> RetrievalTask:
    """Return the task to find each first text's second texts by their grades, among all second texts.

    A text without any passage of at least `RELEVANT_GRADE` asks nothing, its passages are searched among all the same.
    """
    answers = [Triplet(pair.first, pair.second) for pair in pairs if pair.score >= RELEVANT_GRADE]
    return task_from_triplets(answers, distractors, pairs)

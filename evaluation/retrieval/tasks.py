"""What is searched: queries, passages, and which passages answer which query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..sentences.rows import Triplet


@dataclass(frozen=True)
class RetrievalTask:
    """Questions, passages, and which passages answer which question.

    Attributes:
        queries: texts
        passages: texts, each once
        relevant: for each query the numbers of its passages, at least one
    """

    queries: tuple[str, ...]
    passages: tuple[str, ...]
    relevant: tuple[frozenset[int], ...]

    def __post_init__(self) -> None:
        if not self.queries or len(self.queries) != len(self.relevant):
            raise ValueError(f"{len(self.queries)} queries and {len(self.relevant)} sets of passages do not fit")
        for number, found in enumerate(self.relevant):
            if not found or min(found) < 0 or max(found) >= len(self.passages):
                raise ValueError(f"query {number} names no passage, or one outside 0..{len(self.passages) - 1}")


def task_from_triplets(triplets: Sequence[Triplet], distractors: Sequence[str] = ()) -> RetrievalTask:
    """Return the task to find each anchor's positives among all positives, negatives and `distractors`.

    Equal texts are one query or one passage, so that a text never competes with itself.
    """
    passages: dict[str, int] = {}
    relevant: dict[str, set[int]] = {}
    for triplet in triplets:
        for text in (triplet.positive, *triplet.negatives):
            passages.setdefault(text, len(passages))
        relevant.setdefault(triplet.anchor, set()).add(passages[triplet.positive])
    for text in distractors:
        passages.setdefault(text, len(passages))
    return RetrievalTask(tuple(relevant), tuple(passages), tuple(map(frozenset, relevant.values())))

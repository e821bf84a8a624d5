"""Which documents of a corpus are kept: filters, one after another, with counts of what each one dropped."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from ...tokenization.documents import TextDocument
from ...tokenization.pre_tokenization import HAN

DocumentFilter = Callable[[TextDocument], str | None]
"""Looks at one document and returns None to keep it, or the reason to drop it, which becomes a key of the manifest."""


@dataclass
class DocumentCounts:
    """How many documents the filters read and dropped."""

    documents_read: int = 0
    bytes_read: int = 0
    """Bytes of the text as UTF-8, before any filter."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Documents dropped, by reason."""

    def drop(self, reason: str) -> None:
        """Count one dropped document."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1


@dataclass(frozen=True)
class MinimumCharacters:
    """Drop documents with fewer characters than `characters`, white space not counted, as `too_short`."""

    characters: int

    def __call__(self, document: TextDocument) -> str | None:
        """Return "too_short" or None."""
        text = document.text
        if len(text) < self.characters or len("".join(text.split())) < self.characters:
            return "too_short"
        return None


@dataclass(frozen=True)
class MinimumHanShare:
    """Drop documents in which Han characters are less than `share` of all but white space, as `little_han`."""

    share: float

    def __call__(self, document: TextDocument) -> str | None:
        """Return "little_han" or None."""
        return "little_han" if han_share(document.text) < self.share else None


def han_share(text: str) -> float:
    """Return Han characters as a share of all characters but white space; 0.0 for text without any."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    table = _is_han()
    han = int(np.count_nonzero(table[np.minimum(codes, len(table) - 1)]))
    return han / max(1, len("".join(text.split())))


@lru_cache(maxsize=1)
def _is_han() -> np.ndarray:
    """Return bool `[last Han character + 2]`, True at the code points of `HAN`."""
    table = np.zeros(max(map(ord, HAN)) + 2, dtype=bool)
    for first, last, single in re.findall("(.)-(.)|(.)", HAN):
        table[ord(first or single) : ord(last or single) + 1] = True
    return table


def keep_documents(
    documents: Iterator[TextDocument], filters: Sequence[DocumentFilter], counts: DocumentCounts
) -> Iterator[TextDocument]:
    """Yield the documents that every filter keeps; a dropped one is counted under the first reason.

    Args:
        documents: documents of the corpus
        filters: run in this order. One that remembers documents (duplicates) must be the last: otherwise a copy is
            dropped for a document that a later filter drops too.
        counts: updated in place
    """
    for document in documents:
        counts.documents_read += 1
        counts.bytes_read += len(document.text.encode("utf-8", "surrogatepass"))
        reason = next((found for one in filters if (found := one(document))), None)
        if reason is None:
            yield document
        else:
            counts.drop(reason)


def add_counts(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums by name, in the order of names."""
    names = sorted({name for part in parts for name in part})
    return {name: sum(part.get(name, 0) for part in parts) for name in names}

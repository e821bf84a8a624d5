"""Exact and near duplicates: the first document is kept, later ones like it are dropped.

Both compare text after width folding and without white space. They remember every document that they kept, in memory:
about 0.1 kB each for exact duplicates, and 2.2 to 3 kB each for near ones at a similarity of 0.8 (its signature and the
index of 16 bands), whatever its length. Source: `benchmarks/2026-11-27-memory.md`. What they drop depends only on the
order of the documents, so a run that is repeated or resumed drops the same ones.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ...runtime.minhash import PERMUTATIONS, character_ngrams, load_rensa, minhash_signatures
from ...tokenization.documents import TextDocument
from ...tokenization.normalization import fold_width
from .filters import DocumentCounts

NGRAM_CHARACTERS = 5
"""Characters of an n-gram. Source: our default."""
RECALL = 0.94
"""Chance at which a pair of exactly the given similarity must become a candidate. Source: our default."""
BATCH_CHARACTERS = 1_000_000
"""Characters of a batch of signatures, which one process computes at a time."""

MapInOrder = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[tuple[Any, Any]]]
"""Yields (item, function(item)) in the order of the items; may work ahead in other processes."""


def comparable_text(text: str) -> str:
    """Return what duplicates are compared by: `text` with width folded and without white space."""
    return "".join(fold_width(text).split())


class ExactDuplicates:
    """Drop documents whose comparable text was seen before, as `exact_duplicate`; a filter for `keep_documents`."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def __call__(self, document: TextDocument) -> str | None:
        """Return "exact_duplicate" or None."""
        text = comparable_text(document.text).encode("utf-8", "surrogatepass")
        # 16 bytes: among a billion documents two different ones share a digest with a chance of 1 in 10^20.
        digest = hashlib.blake2b(text, digest_size=16).digest()
        if digest in self._seen:
            return "exact_duplicate"
        self._seen.add(digest)
        return None


class NearDuplicates:
    """Find documents of which an earlier one was kept that is nearly the same.

    Similarity is the Jaccard index of the sets of character n-grams, estimated by MinHash. Candidates come from
    locality-sensitive hashing, are compared with documents that were kept (never with dropped ones: a chain of small
    changes would drop a text although nothing like it was kept), and are dropped at `similarity` or more.

    Args:
        similarity: above 0 up to 1

    Raises:
        ImportError: Without `rensa`.
        ValueError: If `similarity` is out of range.
    """

    def __init__(self, similarity: float) -> None:
        if not 0 < similarity <= 1:
            raise ValueError(f"near_duplicate_similarity={similarity} must be above 0 and at most 1")
        deduplicator = load_rensa().RMinHashDeduplicator
        self._index = deduplicator(similarity, PERMUTATIONS, use_lsh=True, num_bands=bands_for(similarity))
        self._number = 0

    def is_new(self, signature: Any) -> bool:
        """Return whether no earlier document is near; then the signature is remembered."""
        self._number += 1
        return self._index.add(str(self._number), signature)


def bands_for(similarity: float) -> int:
    """Return the fewest bands of the signature at which a pair of this similarity is a candidate often enough.

    With b bands of r values the chance is 1 - (1 - s^r)^b. Source: Leskovec, Rajaraman, Ullman, Mining of Massive
    Datasets, section 3.4; the chance that is often enough is `RECALL`.
    """
    for bands in (1, 2, 4, 8, 16, 32, 64):
        if 1 - (1 - similarity ** (PERMUTATIONS // bands)) ** bands >= RECALL:
            return bands
    return PERMUTATIONS


def document_signatures(texts: Sequence[str]) -> list[Any]:
    """Return the MinHash signature of each text's character n-grams."""
    return minhash_signatures(character_ngrams(comparable_text(text), NGRAM_CHARACTERS) for text in texts)


def drop_near_duplicates(
    documents: Iterator[TextDocument], duplicates: NearDuplicates, counts: DocumentCounts, map_in_order: MapInOrder
) -> Iterator[TextDocument]:
    """Yield the documents that are near to no earlier one; the others are counted as `near_duplicate`.

    Args:
        documents: documents that the filters kept
        duplicates: remembers the documents that were kept
        counts: updated in place
        map_in_order: computes the signatures, in this process or others; the order, and so the result, is the same
    """
    for batch, signatures in map_in_order(_signatures_of, _batches(documents)):
        for document, signature in zip(batch, signatures, strict=True):
            if duplicates.is_new(signature):
                yield document
            else:
                counts.drop("near_duplicate")


def _signatures_of(batch: Sequence[TextDocument]) -> list[Any]:
    return document_signatures([document.text for document in batch])


def _batches(documents: Iterator[TextDocument]) -> Iterator[list[TextDocument]]:
    batch, characters = [], 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch

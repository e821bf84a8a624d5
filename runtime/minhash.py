"""MinHash signatures of texts by their character n-grams: candidates for near duplicates."""

from collections.abc import Iterable
from typing import Any

from .lazy import optional_import

PERMUTATIONS = 128
"""Values of a signature; an estimated similarity has a standard error of at most 0.044. Source: our default."""
SEED = 42


def character_ngrams(text: str, size: int) -> list[str]:
    """Return the n-grams of `size` characters in reading order; a shorter text is its own only one."""
    return [text[start : start + size] for start in range(max(1, len(text) - size + 1))]


def minhash_signatures(ngrams: Iterable[Iterable[str]]) -> list[Any]:
    """Return one signature for each collection of n-grams; repeats and order within one do not matter.

    Raises:
        ImportError: Without rensa.
    """
    return load_rensa().RMinHash.from_token_sets(ngrams, PERMUTATIONS, SEED)


def load_rensa() -> Any:
    """Return the module that computes and indexes signatures.

    Raises:
        ImportError: If it is not installed.
    """
    with optional_import("near duplicates"):
        import rensa
    return rensa

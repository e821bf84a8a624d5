"""Signatures: two ways of the library, and the digests that earlier versions of both callers computed."""

import random
from hashlib import sha256

import pytest
import rensa

from chinese_modernbert.runtime.minhash import PERMUTATIONS, SEED, character_ngrams, minhash_signatures
from chinese_modernbert.trainers.data.near_duplicates import document_signatures
from chinese_modernbert.trainers.leakage import character_pairs

ALPHABET = "天地人你我他她它山水火木金土"


def texts(seed: int = 0, count: int = 50) -> list[str]:
    source = random.Random(seed)
    return ["".join(source.choices(ALPHABET, k=source.randrange(1, 60))) for _ in range(count)]


def test_ngrams_are_read_in_order_and_a_short_text_is_its_own() -> None:
    assert character_ngrams("abcd", 2) == ["ab", "bc", "cd"]
    assert character_ngrams("ab", 5) == ["ab"] and character_ngrams("", 2) == [""]


def test_a_signature_is_the_one_of_the_set_whatever_the_order_and_the_repeats() -> None:
    for text in texts():
        ngrams = character_ngrams(text, 2)
        alone = rensa.RMinHash(PERMUTATIONS, SEED)
        alone.update(sorted(set(ngrams)))
        for given in (ngrams, ngrams[::-1], sorted(set(ngrams))):
            assert minhash_signatures([given])[0].digest() == alone.digest()


@pytest.mark.parametrize(
    ("signatures", "expected"),
    [
        (document_signatures(texts()), "707e01a67e5f8e88"),
        (minhash_signatures(map(character_pairs, texts())), "1516a33dd9ea2d7d"),
    ],
    ids=["documents", "sentences"],
)
def test_signatures_are_bit_equal_to_those_of_earlier_versions(signatures: list, expected: str) -> None:
    digests = "".join(f"{value}," for signature in signatures for value in signature.digest())
    assert sha256(digests.encode()).hexdigest()[:16] == expected

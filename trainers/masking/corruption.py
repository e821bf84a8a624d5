"""What replaces a masked token: [MASK], a random token, the token itself, or a similar word."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np

from ...runtime.counter_random import CounterRandom
from .batch import PackedBatch, UnitTable
from .materials.similar_words import SimilarWords
from .units import change_points, token_offsets, unit_table

MASK, RANDOM, SIMILAR, KEEP = range(4)


@dataclass(frozen=True)
class MaskVocabulary:
    """Which id is [MASK], which ids are special, how many there are.

    Attributes:
        size: number of ids, V
        mask_token_id: the id of [MASK]
        special_ids: ids that never replace a token ([MASK] is always one of them)
    """

    size: int
    mask_token_id: int
    special_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.mask_token_id < self.size:
            raise ValueError(f"mask_token_id={self.mask_token_id} is outside the vocabulary of {self.size} tokens")
        if not self.ordinary_ids.size:
            raise ValueError(
                f"all {self.size} tokens of the vocabulary are special; none is left for random replacement"
            )

    @classmethod
    def from_tokenizer(cls, tokenizer: Any) -> "MaskVocabulary":
        """Read the ids from a Transformers tokenizer.

        Raises:
            ValueError: If the tokenizer has no mask token.
        """
        if tokenizer.mask_token_id is None:
            raise ValueError("the tokenizer has no mask token; set tokenizer.mask_token before masking")
        return cls(len(tokenizer), tokenizer.mask_token_id, tuple(tokenizer.all_special_ids))

    @cached_property
    def ordinary_ids(self) -> np.ndarray:
        """Ids that may replace a token, int64, sorted."""
        allowed = np.ones(self.size, dtype=bool)
        allowed[[self.mask_token_id, *_inside(self.special_ids, self.size)]] = False
        return np.flatnonzero(allowed)


def _inside(ids: Iterable[int], size: int) -> list[int]:
    return [token for token in ids if 0 <= token < size]


class Corruption(Protocol):
    """Anything that rewrites the selected tokens."""

    def __call__(self, batch: PackedBatch, selected: UnitTable, random: CounterRandom) -> np.ndarray:
        """Return int64 `[B, L]`, the ids with the selected units rewritten."""
        ...


@dataclass(frozen=True)
class Replace:
    """Rewrite shares of the selected tokens with [MASK], with random tokens, with similar words, or not at all.

    A random token is uniform over all ids that are not special (it may be the token itself, as in BERT). A similar
    word is looked up for each word of a unit; a word that the lexicon does not know becomes random tokens.
    Source: 80/10/10, BERT (arXiv 1810.04805); similar words, MacBERT (arXiv 2004.13922).

    Attributes:
        vocabulary: [MASK] and the special ids
        mask: share that becomes [MASK]
        random: share that becomes random tokens
        keep: share left as it is (still predicted)
        similar: share replaced by similar words; needs `per="unit"` and a lexicon
        lexicon: the similar words
        per: "unit" decides once for a unit, so that no word is partly visible; "token" decides for each token
    """

    vocabulary: MaskVocabulary
    mask: float = 0.8
    random: float = 0.1
    keep: float = 0.1
    similar: float = 0.0
    lexicon: SimilarWords | None = None
    per: Literal["unit", "token"] = "unit"

    def __post_init__(self) -> None:
        shares = (self.mask, self.random, self.similar, self.keep)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"mask, random, similar, keep = {shares} must be >= 0 and sum to 1")
        if self.per not in ("unit", "token"):
            raise ValueError(f"per={self.per!r} is unknown; use 'unit' or 'token'")
        if self.similar and (self.lexicon is None or self.per != "unit"):
            raise ValueError("similar > 0 needs lexicon=SimilarWords(...) and per='unit': whole words are replaced")

    def __call__(self, batch: PackedBatch, selected: UnitTable, random: CounterRandom) -> np.ndarray:
        """Return the rewritten ids."""
        ids = batch["input_ids"].astype(np.int64)
        flat = ids.reshape(-1)
        offset = token_offsets(selected)
        if self.mask == 1.0:
            flat[offset] = self.vocabulary.mask_token_id
            return ids
        row = np.repeat(selected.row, selected.length)
        position = offset - row * ids.shape[1]
        if self.per == "unit":
            kind = self._kind(random("kind", selected.row, selected.position))
            token_kind = np.repeat(kind, selected.length)
        else:
            kind = token_kind = self._kind(random("kind", row, position))
        is_random = token_kind == RANDOM
        if self.similar and self.lexicon is not None:
            is_random |= self._replace_similar(batch, flat, selected.take(kind == SIMILAR), random)[offset]
        flat[offset[token_kind == MASK]] = self.vocabulary.mask_token_id
        ordinary = self.vocabulary.ordinary_ids
        uniform = random("random", row[is_random], position[is_random])
        flat[offset[is_random]] = ordinary[(uniform * ordinary.size).astype(np.int64)]
        return ids

    def _kind(self, uniform: np.ndarray) -> np.ndarray:
        """Return int8 kinds: MASK, RANDOM, SIMILAR or KEEP."""
        kind = (uniform >= self.mask).astype(np.int8)
        for border in (self.mask + self.random, self.mask + self.random + self.similar):
            kind += uniform >= border
        return kind

    def _replace_similar(
        self, batch: PackedBatch, flat: np.ndarray, units: UnitTable, random: CounterRandom
    ) -> np.ndarray:
        """Write similar words into `flat`; return bool `[N]`, the tokens of words that have none."""
        unknown = np.zeros(flat.size, dtype=bool)
        if self.lexicon is None or not units.start.size:
            return unknown
        words = _words_of(batch, units)
        index = self.lexicon.find(flat, words.start, words.length)
        unknown[token_offsets(words.take(index < 0))] = True
        words, index = words.take(index >= 0), index[index >= 0]
        replacement = self.lexicon.choose(index, random("similar", words.row, words.position))
        flat[token_offsets(words)] = replacement[replacement >= 0]
        return unknown


def _words_of(batch: PackedBatch, units: UnitTable) -> UnitTable:
    """Cut units at the word borders inside them (an n-gram holds several words)."""
    offset = token_offsets(units)
    begins = change_points(batch, batch["word_ids"])[offset]
    begins[np.cumsum(units.length) - units.length] = True
    first = np.flatnonzero(begins)
    return unit_table(offset[first], np.diff(first, append=offset.size), batch["input_ids"].shape[1])

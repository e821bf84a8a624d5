"""The three things masking must know about a vocabulary."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True)
class MaskVocabulary:
    """Which id is [MASK], which ids are special, how many there are.

    Attributes:
        size: number of ids, V.
        mask_token_id: the id of [MASK].
        special_ids: ids that never replace a token ([MASK] is always one of them).
    """

    size: int
    mask_token_id: int
    special_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.mask_token_id < self.size:
            raise ValueError(f"mask_token_id={self.mask_token_id} is outside the vocabulary of {self.size} entries.")
        if not self.ordinary_ids.size:
            raise ValueError(f"all {self.size} vocabulary entries are special; nothing is left for random replacement.")

    @classmethod
    def from_tokenizer(cls, tokenizer: Any) -> "MaskVocabulary":
        """Read the ids from a Transformers tokenizer.

        Raises:
            ValueError: the tokenizer has no mask token.
        """
        if tokenizer.mask_token_id is None:
            raise ValueError("the tokenizer has no mask token; set tokenizer.mask_token before masking.")
        return cls(len(tokenizer), tokenizer.mask_token_id, tuple(tokenizer.all_special_ids))

    @cached_property
    def ordinary_ids(self) -> np.ndarray:
        """Ids that may replace a token, int64, sorted."""
        allowed = np.ones(self.size, dtype=bool)
        allowed[[self.mask_token_id, *_inside(self.special_ids, self.size)]] = False
        return np.flatnonzero(allowed)


def _inside(ids: Iterable[int], size: int) -> list[int]:
    return [token for token in ids if 0 <= token < size]

"""Spelling errors made on purpose: Han characters replaced by some that sound or look alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.counter_random import CounterRandom
from ...tokenization.pre_tokenization import HAN
from .confusion import ConfusionSet, read_confusion

_HAN = re.compile(f"[{HAN}]")


@dataclass(frozen=True)
class SpellingNoise:
    """Replaces Han characters by characters that are confused with them, one code point for one.

    Every number is a hash of (seed, number of the text, position), so a text has the same errors whatever was corrupted
    before it. Spaces, digits, Latin letters, emoji and marks stay as they are.

    Attributes:
        confusions: confusion sets, of one kind each
        shares: how often each kind is drawn, in any unit; a kind that does not know a character leaves its share to the
            others
        rate: chance of each Han character that a set knows, above 0 up to 1
        seed: names the family of errors
    """

    confusions: Sequence[ConfusionSet]
    shares: Sequence[float]
    rate: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.confusions or len(self.confusions) != len(self.shares):
            raise ValueError(
                f"{len(self.shares)} shares for {len(self.confusions)} confusion sets; give one share for each set"
            )
        if not min(self.shares) >= 0 or not 0 < sum(self.shares) < float("inf"):
            raise ValueError(f"shares={[*self.shares]} must not be negative, and one must be above 0")
        if idle := [number for number, one in enumerate(self.confusions, start=1) if not one.han]:
            raise ValueError(f"confusion set {idle[0]} names no two Han characters, so it makes no error; leave it out")
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate={self.rate} must be above 0 and at most 1")

    def corrupt(self, text: str, number: int) -> str:
        """Return `text` with errors, of the same length.

        Args:
            text: any text; an empty one stays so
            number: names the text, at least 0; each has draws of its own
        """
        positions = np.array([found.start() for found in _HAN.finditer(text)], dtype=np.int64)
        random = CounterRandom(self.seed, 0, np.array([number]))
        chosen = positions[random("spelling", np.zeros_like(positions), positions) < self.rate]
        row = np.zeros_like(chosen)
        kinds, others = random("kind", row, chosen), random("character", row, chosen)
        characters = list(text)
        for position, kind, other in zip(chosen.tolist(), kinds.tolist(), others.tolist(), strict=True):
            alternatives = self._alternatives(characters[position], kind)
            if alternatives:
                characters[position] = alternatives[int(other * len(alternatives))]
        return "".join(characters)

    def _alternatives(self, character: str, uniform: float) -> tuple[str, ...]:
        """Return the Han characters of the kind that `uniform` draws among those that know `character`."""
        known = [
            (share, confusion.han[character])
            for confusion, share in zip(self.confusions, self.shares, strict=True)
            if share and character in confusion.han
        ]
        border = uniform * sum(share for share, _ in known)
        for share, found in known:
            border -= share
            if border < 0:
                return found
        return known[-1][1] if known else ()


def read_noise(confusion: Sequence[str | Path], shares: Sequence[float], rate: float, seed: int) -> SpellingNoise:
    """Return noise from files of confusion sets, each a kind of its own.

    Args:
        confusion: see `read_confusion`
        shares: one for each file; if none: all alike
        rate, seed: see `SpellingNoise`

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file or a number is wrong.
    """
    return SpellingNoise([read_confusion(file) for file in confusion], shares or [1.0] * len(confusion), rate, seed)


def corrupt_text(text: str, confusion: ConfusionSet, rate: float, seed: int, number: int) -> str:
    """Return `text` with errors of one kind, see `SpellingNoise`."""
    return SpellingNoise((confusion,), (1.0,), rate, seed).corrupt(text, number)

"""Pairs as batches: which characters are right at every place, which are wrong, and which are hidden."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...evaluation.spelling import SpellingPair
from ...modeling import ChineseModernBertConfig
from ...modeling.characters_chinese_modernbert import CharacterReader, CharacterText, cut_sentences
from ...modeling.spelling_chinese_modernbert import IGNORED, SpellingSettings, spelling_inputs
from ...runtime.counter_random import CounterRandom


@dataclass(frozen=True)
class SpellingRow:
    """One sentence to learn from.

    Attributes:
        read: the source
        labels: for each of its places: the id of the right character, -100 where that is no single token
        is_error: for each of its places: whether another character is right
    """

    read: CharacterText
    labels: list[int]
    is_error: list[bool]


def spelling_rows(pairs: Sequence[SpellingPair], reader: CharacterReader, longest: int) -> Iterator[SpellingRow]:
    """Yield the sentences of pairs, cut as `correct` cuts a text; one without a Chinese character teaches nothing."""
    for source, target in pairs:
        for start, end in cut_sentences(source, longest):
            read = reader.read(source[start:end])
            if not read.places:
                continue
            right = [target[start + offset] for offset in read.offsets]
            columns = [reader.columns.get(one) for one in right]
            labels = [IGNORED if column is None else reader.candidate_ids[column] for column in columns]
            written = [source[start + offset] for offset in read.offsets]
            yield SpellingRow(read, labels, [a != b for a, b in zip(written, right, strict=True)])


class SpellingCollator:
    """Make batches; a share of the right characters is hidden in the source, and stays to be written.

    Source of the hiding: "Rethinking Masked Language Modeling for Chinese Spelling Correction" (arXiv 2305.17721),
    which hides 0.2 of them so that a model learns the language and not the errors alone. Rows are counted as they come,
    so that each is hidden anew every time and a run repeats exactly; for that it must run in the training process.

    Args:
        reader: of the model's tokenizer
        settings: of the model
        config: of the model
        masked_share: share of the right characters that is hidden
        seed: names the family of draws
    """

    def __init__(
        self,
        reader: CharacterReader,
        settings: SpellingSettings,
        config: ChineseModernBertConfig,
        masked_share: float,
        seed: int,
    ) -> None:
        self.arm, self.config, self.masked_share, self.seed = settings.arm, config, masked_share, seed
        self.candidate_ids = torch.tensor(reader.candidate_ids)
        self.rows = 0

    def __call__(self, rows: Sequence[SpellingRow]) -> dict[str, torch.Tensor]:
        """Return the inputs of the model for a batch."""
        masked = self._masked(rows)
        self.rows += len(rows)
        wrong = [
            IGNORED if place in hidden else int(is_error)
            for row, hidden in zip(rows, masked, strict=True)
            for place, is_error in enumerate(row.is_error)
        ]
        return {
            **spelling_inputs([row.read for row in rows], self.arm, self.config, masked),
            "labels": torch.tensor([label for row in rows for label in row.labels]),
            "is_error": torch.tensor(wrong),
            "candidate_ids": self.candidate_ids,
        }

    def _masked(self, rows: Sequence[SpellingRow]) -> list[set[int]]:
        """Return for each row the places that are hidden."""
        draw = CounterRandom(self.seed, 0, self.rows + np.arange(len(rows)))
        found = []
        for number, row in enumerate(rows):
            places = np.arange(len(row.is_error))
            chosen = draw("spelling", np.full(len(places), number), places) < self.masked_share
            found.append(set(places[chosen & ~np.array(row.is_error)].tolist()))
        return found

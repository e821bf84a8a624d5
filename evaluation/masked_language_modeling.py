"""Scores of a masked language model beside what one learns without reading the context: the unigram guess.

A masked word counts as right when every one of its tokens is right; a masked token counts by itself. The unigram guess
always says the most frequent token of the training corpus, and its loss is the cross-entropy of the corpus's token
frequencies: a model that is not clearly better has learned nothing from context.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

METRICS = ("loss", "token_accuracy", "word_accuracy", "unigram_loss", "unigram_token_accuracy", "unigram_word_accuracy")


class UnigramBaseline:
    """The guess from token frequencies alone.

    Args:
        counts: int64 `[vocabulary]`, how often each token occurs in the training corpus.

    Raises:
        ValueError: If nothing was counted.
    """

    def __init__(self, counts: np.ndarray) -> None:
        if counts.ndim != 1 or counts.sum() <= 0:
            raise ValueError(f"token counts of shape {counts.shape} with sum {counts.sum()} give no unigram guess")
        smoothed = counts.astype(np.float64) + 1.0  # add-one, so that a token unseen in training has a finite loss
        self.guess = int(counts.argmax())
        self.losses = -np.log(smoothed / smoothed.sum())


@dataclass
class MaskedTokens:
    """What one batch says about its masked tokens, all `[M]`.

    Attributes:
        labels: int64, the right ids.
        predictions: int64, the ids with the highest score.
        losses: float, cross-entropy of each token in nats.
        words: int64, a number that neighbours share exactly if they belong to one masked word of one row.
        sources: int64, number of the source of each token's document.
    """

    labels: np.ndarray
    predictions: np.ndarray
    losses: np.ndarray
    words: np.ndarray
    sources: np.ndarray


class MaskedLanguageModelingScores:
    """Sums over batches, overall and by source.

    Args:
        unigram: The baseline.
        source_names: Names of the sources.
    """

    def __init__(self, unigram: UnigramBaseline, source_names: Sequence[str]) -> None:
        self.unigram, self.source_names = unigram, list(source_names)
        # One row a source; columns: tokens, words, then the sums behind METRICS in their order.
        self.sums = np.zeros((len(self.source_names), 2 + len(METRICS)))

    def update(self, batch: MaskedTokens) -> None:
        """Add one batch.

        Raises:
            ValueError: If the columns have different lengths.
        """
        sizes = {len(column) for column in vars(batch).values()}
        if len(sizes) != 1:
            raise ValueError(f"the columns of masked tokens have different lengths: {sorted(sizes)}")
        if not sizes.pop():
            return
        right = batch.predictions == batch.labels
        guessed = batch.labels == self.unigram.guess
        first = np.flatnonzero(np.concatenate([[True], batch.words[1:] != batch.words[:-1]]))
        by_token = (np.ones(len(right)), batch.losses, right, self.unigram.losses[batch.labels], guessed)
        by_word = (np.ones(len(first)), np.logical_and.reduceat(right, first), np.logical_and.reduceat(guessed, first))
        for column, values in zip((0, 2, 3, 5, 6), by_token, strict=True):
            self.sums[:, column] += self._by_source(batch.sources, values)
        for column, values in zip((1, 4, 7), by_word, strict=True):
            self.sums[:, column] += self._by_source(batch.sources[first], values)

    def compute(self) -> dict[str, float]:
        """Return the figures of `METRICS`, perplexity and counts over everything; NaN where nothing was masked."""
        total = self.sums.sum(axis=0)
        figures = self._figures(total)
        perplexity = math.exp(min(figures["loss"], 50.0)) if total[0] else math.nan
        return {**figures, "perplexity": perplexity, "masked_tokens": total[0], "masked_words": total[1]}

    def compute_by_source(self) -> dict[str, dict[str, float]]:
        """Return the figures of every source that had a masked token."""
        rows = zip(self.source_names, self.sums, strict=True)
        return {name: {**self._figures(row), "masked_tokens": row[0]} for name, row in rows if row[0]}

    def _by_source(self, sources: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.bincount(sources, weights=np.asarray(values, np.float64), minlength=len(self.source_names))

    @staticmethod
    def _figures(row: np.ndarray) -> dict[str, float]:
        tokens, words = (count if count else math.nan for count in row[:2])
        return {
            name: float(value / (words if "word" in name else tokens))
            for name, value in zip(METRICS, row[2:], strict=True)
        }

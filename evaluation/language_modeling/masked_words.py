"""Scores of a masked language model, and of the unigram guess, a baseline that reads no context.

A masked word counts as right when every one of its tokens is right; a masked token counts by itself. The unigram guess
always predicts the most frequent token of the training corpus, and its loss is the cross-entropy of the corpus's token
frequencies: a model that is not clearly better has learned nothing from context.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.token_rows import begins_run

# Borders of the bins of positions within a document: 0-255, 256-511, then powers of two up to the longest context.
POSITION_BORDERS = (0, 256, 512, 1024, 2048, 4096, 8192)
METRICS = ("loss", "token_accuracy", "word_accuracy", "unigram_loss", "unigram_token_accuracy", "unigram_word_accuracy")


class UnigramBaseline:
    """The guess from token frequencies alone.

    Args:
        counts: int64 `[vocabulary]`, how often each token occurs in the training corpus

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
    """The masked tokens of one batch, all `[M]`.

    Attributes:
        labels: int64, the right ids
        predictions: int64, the ids with the highest score
        losses: float, cross-entropy of each token in nats
        words: int64, a number that neighbors share exactly if they belong to one masked word of one row
        sources: int64, number of the source of each token's document
        positions: int64, position of each token in its document as the model sees it, [CLS] at 0
    """

    labels: np.ndarray
    predictions: np.ndarray
    losses: np.ndarray
    words: np.ndarray
    sources: np.ndarray
    positions: np.ndarray


class MaskedLanguageModelingScores:
    """Sums over batches, overall, by source and by position.

    Args:
        unigram: the baseline
        source_names: names of the sources

    Attributes:
        sums: float64 `[sources + position bins, 2 + len(METRICS)]`; sums of several processes are added
    """

    def __init__(self, unigram: UnigramBaseline, source_names: Sequence[str]) -> None:
        self.unigram, self.source_names = unigram, list(source_names)
        # One row a source, then one a bin; columns: tokens, words, then the sums behind METRICS in their order.
        self.sums = np.zeros((len(self.source_names) + len(POSITION_BORDERS), 2 + len(METRICS)))

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
        first = np.flatnonzero(begins_run(batch.words))
        by_token = (np.ones(len(right)), batch.losses, right, self.unigram.losses[batch.labels], guessed)
        by_word = (np.ones(len(first)), np.logical_and.reduceat(right, first), np.logical_and.reduceat(guessed, first))
        bins = len(self.source_names) + np.searchsorted(POSITION_BORDERS, batch.positions, side="right") - 1
        for group in (batch.sources, bins):
            for column, values in zip((0, 2, 3, 5, 6), by_token, strict=True):
                self.sums[:, column] += self._by_row(group, values)
            for column, values in zip((1, 4, 7), by_word, strict=True):
                self.sums[:, column] += self._by_row(group[first], values)

    def compute(self) -> dict[str, float]:
        """Return `METRICS`, perplexity and counts over everything; NaN where nothing was masked."""
        total = self.sums[: len(self.source_names)].sum(axis=0)
        metrics = self._metrics(total)
        perplexity = math.exp(min(metrics["loss"], 50.0)) if total[0] else math.nan
        return {**metrics, "perplexity": perplexity, "masked_tokens": total[0], "masked_words": total[1]}

    def compute_by_source(self) -> dict[str, dict[str, float]]:
        """Return the metrics of every source that had a masked token."""
        rows = zip(self.source_names, self.sums[: len(self.source_names)], strict=True)
        return {name: {**self._metrics(row), "masked_tokens": row[0]} for name, row in rows if row[0]}

    def compute_by_position(self) -> dict[str, dict[str, float]]:
        """Return loss, accuracies and counts of every bin that had a masked token, under names such as `256_512`.

        A word counts where its first token lies. The last bin has no upper border.
        """
        ends = [*map(str, POSITION_BORDERS[1:]), "end"]
        found = {}
        rows = zip(POSITION_BORDERS, ends, self.sums[len(self.source_names) :], strict=True)
        for start, end, row in rows:
            if row[0]:
                metrics = self._metrics(row)
                kept = {name: metrics[name] for name in ("loss", "token_accuracy", "word_accuracy")}
                found[f"{start}_{end}"] = {**kept, "masked_tokens": row[0], "masked_words": row[1]}
        return found

    def _by_row(self, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.bincount(rows, weights=np.asarray(values, np.float64), minlength=len(self.sums))

    @staticmethod
    def _metrics(row: np.ndarray) -> dict[str, float]:
        tokens, words = (count if count else math.nan for count in row[:2])
        return {
            name: float(value / (words if "word" in name else tokens))
            for name, value in zip(METRICS, row[2:], strict=True)
        }

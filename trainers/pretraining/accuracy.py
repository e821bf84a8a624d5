"""Accuracy on training batches, sampled: one micro-batch a log line, from logits that are there already.

Finding the highest of 32,768 logits of every masked token of every batch would cost time for a figure that nobody reads
more often than the log is written.
"""

import numpy as np
import torch

from ..masking.batch import IGNORED_LABEL


def masked_words(word_ids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Number the words of the labelled tokens: neighbours share a number exactly if they belong to one word.

    Args:
        word_ids: integer `[B, L]`.
        labels: integer `[B, L]`, -100 where there is nothing to predict.

    Returns:
        int64 `[M]`, in reading order, starting at 0.
    """
    rows, columns = np.nonzero(labels != IGNORED_LABEL)
    words = word_ids[rows, columns]
    if not words.size:
        return np.zeros(0, np.int64)
    changes = (words[1:] != words[:-1]) | (rows[1:] != rows[:-1])
    return np.concatenate([[0], np.cumsum(changes)])


class TrainingAccuracy:
    """Masked tokens and masked words that the model had right since the last log line."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.tokens = self.right_tokens = self.words = self.right_words = 0

    def observe(self, predictions: torch.Tensor, labels: torch.Tensor, words: np.ndarray) -> None:
        """Add a micro-batch.

        Args:
            predictions: int64 `[M]`, the ids with the highest score at the labelled positions, in reading order.
            labels: int64 `[M]`, the right ids.
            words: int64 `[M]`, see `masked_words`.
        """
        right = (predictions == labels).cpu().numpy()
        if not right.size:
            return
        first = np.flatnonzero(np.concatenate([[True], words[1:] != words[:-1]]))
        self.tokens += right.size
        self.right_tokens += int(right.sum())
        self.words += first.size
        self.right_words += int(np.logical_and.reduceat(right, first).sum())

    def as_logs(self) -> dict[str, float]:
        """Return the shares and forget the counts; empty if no batch was seen."""
        if not self.tokens:
            return {}
        logs = {"token_accuracy": self.right_tokens / self.tokens, "word_accuracy": self.right_words / self.words}
        self._clear()
        return {name: round(value, 5) for name, value in logs.items()}

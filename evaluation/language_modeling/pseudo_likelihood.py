"""Pseudo-log-likelihood: how probable a masked language model finds a text, each unit predicted from all the others.

A unit is one token, or all tokens of one word at once. Texts that are equal but for one unit give the same masked row
there, and a row goes through the model once. Source: Salazar et al., Masked Language Model Scoring (arXiv 1910.14659);
whole words: Kauf and Ivanova, A Better Way to Do Masked Language Model Scoring (arXiv 2305.10588).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ...modeling.rows_chinese_modernbert import TOKENS_PER_BATCH, batches_of_rows, logits_at
from ...tokenization.word_segmentation import WordSegmenter
from ...tokenization.word_starts import DocumentEncoder

Masking = Literal["token", "word"]


@dataclass(frozen=True)
class ScoredTexts:
    """What a model makes of some texts.

    Attributes:
        log_probabilities: for each text float64 `[tokens]`, natural logarithms, without the special tokens
        rows: distinct masked rows that went through the model
    """

    log_probabilities: list[np.ndarray]
    rows: int


class MaskedRows:
    """The distinct masked rows of some texts, and which token of which text each of them scores.

    Args:
        tokenizer: has [CLS], [SEP] and [MASK]
        segmenter: cuts the words of `word` masking
        masking: what is masked at once, `token` or `word`

    Raises:
        ValueError: If the tokenizer lacks one of the three.

    Attributes:
        rows: ids of each distinct row, with the special tokens
        masked: positions of the masked tokens of each row
        requests: `(row, number of the masked token in its row, id, place in all texts' tokens)` of every token
        lengths: tokens of each text, without special ones
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, segmenter: WordSegmenter, masking: Masking) -> None:
        self._encoder = DocumentEncoder(tokenizer, segmenter)
        special: Any = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id)
        if None in special:
            raise ValueError(
                f"the tokenizer {tokenizer.name_or_path!r} lacks [CLS], [SEP] or [MASK]; give one with all"
            )
        self._first, self._last, self._mask = special
        self._by_word = masking == "word"
        self._known: dict[bytes, int] = {}
        self.rows: list[np.ndarray] = []
        self.masked: list[np.ndarray] = []
        self.requests: list[tuple[int, int, int, int]] = []
        self.lengths: list[int] = []

    def add(self, texts: Sequence[str]) -> None:
        """Add texts; one without tokens scores 0."""
        place = sum(self.lengths)
        for document in self._encoder.encode(texts):
            ids = np.array([self._first, *document.input_ids, self._last], dtype=np.int64)
            starts = np.flatnonzero(document.word_starts) if self._by_word else np.arange(len(ids) - 2)
            for start, end in pairwise([*starts.tolist(), len(ids) - 2]):
                row = ids.copy()
                row[start + 1 : end + 1] = self._mask
                number = self._number(row, start, end)
                self.requests.extend((number, at - start, int(ids[at + 1]), place + at) for at in range(start, end))
            self.lengths.append(len(ids) - 2)
            place += len(ids) - 2

    def _number(self, row: np.ndarray, start: int, end: int) -> int:
        """Return the number of a row, a new one where it is not known."""
        number = self._known.setdefault(row.tobytes(), len(self.rows))
        if number == len(self.rows):
            self.rows.append(row)
            self.masked.append(np.arange(start + 1, end + 1))
        return number


def score_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    segmenter: WordSegmenter,
    masking: Masking = "token",
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> ScoredTexts:
    """Return the log-probability of every token of every text.

    Args:
        model: masked language model in evaluation mode
        tokenizer: its tokenizer
        texts: texts that fit the model's context; longer ones are not cut
        segmenter: cuts the words of `word` masking
        masking: `token` masks one token at a time, `word` all tokens of a word at once
        tokens_per_batch: tokens of one forward

    Raises:
        ValueError: If the tokenizer lacks a special token, or the model gives no finite number.
    """
    work = MaskedRows(tokenizer, segmenter, masking)
    work.add(texts)
    found = np.zeros(sum(work.lengths))
    requests = np.array(work.requests, dtype=np.int64).reshape(-1, 4)
    requests = requests[np.argsort(requests[:, 0], kind="stable")]
    bounds = np.searchsorted(requests[:, 0], np.arange(len(work.rows) + 1))
    for batch in batches_of_rows(list(map(len, work.rows)), tokens_per_batch):
        rows = [work.rows[number] for number in batch]
        masked = [work.masked[number] for number in batch]
        own = [requests[bounds[number] : bounds[number + 1]] for number in batch]
        # Where the masked tokens of each row begin among those of the batch.
        begins = np.cumsum([0, *map(len, masked)])[:-1].repeat([len(part) for part in own])
        _, numbers, ids, places = np.concatenate(own).T
        found[places] = _log_probabilities(model, rows, masked, begins + numbers, ids)
    if not np.isfinite(found).all():
        raise ValueError(f"the model {model.name_or_path!r} gives log-probabilities that are not finite")
    return ScoredTexts(np.split(found, np.cumsum(work.lengths)[:-1]), len(work.rows))


def _log_probabilities(
    model: PreTrainedModel, rows: list[np.ndarray], masked: list[np.ndarray], numbers: np.ndarray, ids: np.ndarray
) -> np.ndarray:
    """Return the log-probabilities of `ids` at the masked tokens with these `numbers` among those of the rows."""
    logits = logits_at(model, rows, masked)
    row, column = torch.from_numpy(numbers).to(logits.device), torch.from_numpy(ids).to(logits.device)
    return (logits[row, column] - logits.logsumexp(dim=-1)[row]).double().cpu().numpy()

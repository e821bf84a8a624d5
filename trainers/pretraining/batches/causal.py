"""Causal micro-batches: unmasked text, in which every token predicts the next one of its document.

Source: GPT-BERT (arXiv 2410.24159), which trains on masked and on causal rows at once, 15 to 1 in the model that won
BabyLM 2024. There a masked token is predicted from the place before it too; here it is predicted where it stands, as
ModernBERT does. That, and that whole micro-batches are of one kind, is ours.

Legend: B rows, L tokens per row.
"""

import math

import numpy as np

from ....runtime.token_rows import IGNORED_LABEL
from ...masking import MaskedBatch
from ...masking.batch import UnitTable


def is_causal_batch(micro_batch: int, share: float) -> bool:
    """Tell whether a micro-batch is causal, from its number alone.

    They come in even distances, so that any n in a row hold `n * share`, to the next whole number: a step of 16 at a
    share of 1/16 has exactly one, and a short run has the share that was asked for.
    """
    return math.floor((micro_batch + 1) * share) > math.floor(micro_batch * share)


def next_tokens(input_ids: np.ndarray, document_ids: np.ndarray) -> MaskedBatch:
    """Label every token with the next one of its document; the last one of a document predicts nothing.

    Args:
        input_ids: int64 `[B, L]`
        document_ids: integer `[B, L]`, -1 = padding

    Returns:
        A batch without a unit that could be masked, so that it adds nothing to the statistics of masking.
    """
    labels = np.full(input_ids.shape, IGNORED_LABEL, dtype=np.int64)
    goes_on = (document_ids[:, 1:] == document_ids[:, :-1]) & (document_ids[:, 1:] >= 0)
    labels[:, :-1][goes_on] = input_ids[:, 1:][goes_on]
    nothing = np.zeros(0, dtype=np.int64)
    return MaskedBatch(
        input_ids=input_ids,
        labels=labels,
        selected=labels != IGNORED_LABEL,
        loss_weight=None,
        units=UnitTable(nothing, nothing, nothing, nothing, nothing),
        chosen=nothing.astype(bool),
        maskable_tokens=0,
        target_rate=0.0,
    )

"""One row of real tokens out of a masked batch of packed rows.

Legend: B rows, L tokens per row, T real tokens, M masked tokens, D documents.
"""

from typing import Any

import numpy as np
import torch

from ....runtime.token_rows import IGNORED_LABEL, begins_run
from ...masking import MaskedBatch
from ...masking.trainer import LOSS_WEIGHT


def flat_row(
    masked: MaskedBatch, document_ids: np.ndarray, label_capacity: int | None = None, filled: bool = False
) -> dict[str, Any]:
    """Bring a masked batch into one row of real tokens, so that the model need not look for anything.

    Args:
        masked: the batch, `[B, L]`
        document_ids: integer `[B, L]`, -1 = padding
        label_capacity: fill labels up to this many, with -100 at the last token, so that their shape never changes;
            None takes as many as there are
        filled: keep the padding, moved to the end, as documents of at most a row: T is then B * L, which is the same
            for every micro-batch of a stage, as compiled layers want it

    Returns:
        `input_ids` int64 `[1, T]`, `cu_seq_lens_q` int32 `[D + 1]`, `max_length_q`, `labels` int64 `[M]` and their
        `target_positions` int64 `[M]` in the row, ascending, and `loss_weight` float32 `[M]` where the masker has one.

    Raises:
        ValueError: If the batch has more labels than `label_capacity`.
    """
    real = document_ids.reshape(-1) >= 0
    place = np.cumsum(real) - 1
    tokens = int(real.sum())
    ids = masked["input_ids"].reshape(-1)[real]
    begins = place[begins_run(document_ids).reshape(-1) & real]
    if filled:
        begins = np.append(begins, np.arange(tokens, real.size, document_ids.shape[1]))
        ids = np.append(ids, masked["input_ids"].reshape(-1)[~real])
    bounds = np.append(begins, ids.size).astype(np.int32)
    selected = np.flatnonzero(masked["selected"])
    fillers = 0 if label_capacity is None else label_capacity - selected.size
    if fillers < 0:
        raise ValueError(
            f"a micro-batch has {selected.size} masked tokens and label_capacity={label_capacity}; raise it, or leave "
            "it out"
        )
    columns = {
        "labels": np.pad(masked["labels"].reshape(-1)[selected], (0, fillers), constant_values=IGNORED_LABEL),
        "target_positions": np.pad(place[selected], (0, fillers), constant_values=max(tokens - 1, 0)),
    }
    if masked["loss_weight"] is not None:
        columns[LOSS_WEIGHT] = np.pad(masked["loss_weight"].reshape(-1)[selected], (0, fillers))
    return {
        "input_ids": torch.from_numpy(ids).unsqueeze(0),
        "cu_seq_lens_q": torch.from_numpy(bounds),
        "max_length_q": int(np.diff(bounds).max(initial=0)),
        **{name: torch.from_numpy(column) for name, column in columns.items()},
    }


def masked_words(word_ids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Number the words of the labelled tokens: neighbors share a number exactly if they belong to one word.

    Args:
        word_ids: integer `[B, L]`
        labels: integer `[B, L]`, -100 where there is nothing to predict

    Returns:
        int32 `[M]`, in reading order, starting at 0.
    """
    rows, columns = np.nonzero(labels != IGNORED_LABEL)
    return np.cumsum(begins_run(word_ids[rows, columns], rows), dtype=np.int32) - 1

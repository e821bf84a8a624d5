"""Scores of a model on packed rows under masks that never change; the same figures for any size of batches."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from ...evaluation.language_modeling.masked_words import MaskedLanguageModelingScores, MaskedTokens
from ...runtime.token_rows import begins_run
from ..data.packing import PackedRows
from ..data.stages import stack_rows
from ..masking import Masker
from ..masking.trainer import mask_tensors


@torch.no_grad()
def score_rows(
    predict: Callable[[dict[str, Any]], torch.Tensor],
    rows: PackedRows,
    numbers: range,
    masker: Masker,
) -> MaskedTokens:
    """Mask some rows, run the model and return what it says about the masked tokens, in reading order.

    Args:
        predict: Gives the logits `[masked, V]` at the labelled positions of a model's inputs, in reading order.
        rows: The rows.
        numbers: Which of them.
        masker: A masker with a fixed rate.
    """
    batch = stack_rows([rows[number] for number in numbers])
    inputs, masked = mask_tensors(masker, batch, progress=1.0, epoch=0)
    logits = predict(inputs)
    selected, documents = masked["selected"], batch["document_ids"].numpy()
    labels = masked["labels"][selected]
    losses = nn.functional.cross_entropy(logits.float(), torch.from_numpy(labels).to(logits.device), reduction="none")
    chosen = masked["units"].take(masked["chosen"])
    owners = [rows.shards.source_of[rows.documents_of(number)][documents[i]] for i, number in enumerate(numbers)]
    return MaskedTokens(
        labels=labels,
        predictions=logits.argmax(-1).cpu().numpy(),
        losses=losses.cpu().numpy(),
        words=np.repeat(np.arange(len(chosen.length)), chosen.length),
        sources=np.stack(owners)[selected],
        positions=positions_in_documents(documents)[selected],
    )


def positions_in_documents(document_ids: np.ndarray) -> np.ndarray:
    """Return the place of every token within its document, int64 `[B, L]`, counted as the model counts positions."""
    places = np.broadcast_to(np.arange(document_ids.shape[1]), document_ids.shape)
    return places - np.maximum.accumulate(np.where(begins_run(document_ids), places, 0), axis=1)


def flat_metrics(scores: MaskedLanguageModelingScores, prefix: str) -> dict[str, float]:
    """Return all figures under names for a log, as `eval_loss`, `eval_loss/news`, `eval_loss/position_256_512`."""
    figures = {f"{prefix}_{name}": value for name, value in scores.compute().items()}
    for source, own in scores.compute_by_source().items():
        figures |= {f"{prefix}_{name}/{source}": value for name, value in own.items()}
    for places, own in scores.compute_by_position().items():
        figures |= {f"{prefix}_{name}/position_{places}": value for name, value in own.items()}
    return figures

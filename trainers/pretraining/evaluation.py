"""Scores of a model on packed rows under masks that never change; the same metrics for any size of batches."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import nn

from ...evaluation.language_modeling.masked_words import MaskedLanguageModelingScores, MaskedTokens, UnigramBaseline
from ...runtime.token_rows import begins_run
from ..data.packing import PackedRows
from ..data.stages import stack_rows
from ..masking import Masker
from ..masking.feedback_callback import labelled_positions
from ..masking.trainer import mask_tensors
from .objectives import Objective, ObjectiveBatch

Predict = Callable[[dict[str, Any]], torch.Tensor]


@dataclass(frozen=True)
class Evaluation:
    """What a run evaluates on.

    Attributes:
        rows: the rows
        unigram: baseline for each score
        masker: a masker with a fixed rate and seed: the same masks for every method, or scores could not be compared
        positions_at_once: positions of one forward on each process
    """

    rows: PackedRows
    unigram: UnigramBaseline
    masker: Masker
    positions_at_once: int

    def metrics(
        self, model: nn.Module, objective: Objective | None, accelerator: Accelerator, prefix: str
    ) -> dict[str, float]:
        """Return the metrics of `flat_metrics` over all processes and the runtime; every process must call this.

        Masked tokens are predicted by the objective, if there is one, else by the model.
        """

        def predict(inputs: dict[str, Any]) -> torch.Tensor:
            placed: dict[str, Any] = dict(send_to_device(inputs, accelerator.device))
            if objective is None:
                places = labelled_positions(placed.pop("labels"))
                return model(**placed, target_positions=places).logits
            return objective.predict(ObjectiveBatch.from_inputs(placed))

        began, was_training = time.perf_counter(), model.training
        model.eval()
        scores = self._scores(predict, accelerator)
        model.train(was_training)
        return {**flat_metrics(scores, prefix), f"{prefix}_runtime": round(time.perf_counter() - began, 2)}

    def _scores(self, predict: Predict, accelerator: Accelerator) -> MaskedLanguageModelingScores:
        """Return the scores over all processes."""
        scores = MaskedLanguageModelingScores(self.unigram, self.rows.shards.source_names)
        size = max(1, self.positions_at_once // self.rows.context_length)
        # Every process makes as many forwards as the others: a sharded model exchanges weights in each of them.
        for first in range(0, len(self.rows), size * accelerator.num_processes):
            own = range(first + accelerator.process_index * size, len(self.rows))[:size]
            tokens = score_rows(predict, self.rows, own or range(first, first + 1), self.masker)
            if own:
                scores.update(tokens)
        sums: Any = accelerator.reduce(torch.from_numpy(scores.sums).to(accelerator.device))
        scores.sums = sums.cpu().numpy()
        return scores


@torch.no_grad()
def score_rows(
    predict: Predict,
    rows: PackedRows,
    numbers: range,
    masker: Masker,
) -> MaskedTokens:
    """Mask some rows, run the model and return its predictions of the masked tokens, in reading order.

    Args:
        predict: gives the logits `[masked, V]` at the labelled positions of a model's inputs, in reading order
        rows: the rows
        numbers: which of them
        masker: a masker with a fixed rate
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
    """Return the position of every token in its document, int64 `[B, L]`, counted as the model counts positions."""
    columns = np.broadcast_to(np.arange(document_ids.shape[1]), document_ids.shape)
    return columns - np.maximum.accumulate(np.where(begins_run(document_ids), columns, 0), axis=1)


def flat_metrics(scores: MaskedLanguageModelingScores, prefix: str) -> dict[str, float]:
    """Return all metrics under names for a log, as `eval_loss`, `eval_loss/news`, `eval_loss/position_256_512`."""
    metrics = {f"{prefix}_{name}": value for name, value in scores.compute().items()}
    for source, own in scores.compute_by_source().items():
        metrics |= {f"{prefix}_{name}/{source}": value for name, value in own.items()}
    for positions, own in scores.compute_by_position().items():
        metrics |= {f"{prefix}_{name}/position_{positions}": value for name, value in own.items()}
    return metrics

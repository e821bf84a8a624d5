"""Batches that are ready: what a step sees follows from its number, so whoever reads micro-batch i masks it too.

A worker that prefetches knows the number of the micro-batch, hence the step, hence the rate. So it masks, drops the
padding and counts; the process that trains takes tensors that can be copied ahead, and facts that never leave the host.

Legend: B rows, M masked tokens.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ...data.stages import StagedBatches, stage_at
from ...masking import MaskedBatch, Masker
from ...masking.statistics import MaskingCounts, count_masks
from ...masking.trainer import mask_tensors
from ...masking.units import TokenUnits
from ..throughput import Workload
from .causal import is_causal_batch, next_tokens
from .flat import flat_row, masked_words

# Keys of an item beside the model's inputs.
FACTS = "facts"
UNMASKED = "unmasked"
# The model's own argument, of causal micro-batches alone.
IS_CAUSAL = "is_causal"


@dataclass(frozen=True)
class BatchFacts:
    """What the process that trains wants to know of a micro-batch; no tensor, so nothing moves it to a device.

    Attributes:
        micro_batch: its number in the run
        masks: counts for the statistics of masking
        work: what it asks of the model
        words: int32 `[M]`, see `masked_words`; none of a causal micro-batch
    """

    micro_batch: int
    masks: MaskingCounts
    work: Workload
    words: np.ndarray


@dataclass(frozen=True)
class UnmaskedBatch:
    """A micro-batch whose masks follow the model: it is masked when its step comes, and on the host until then.

    Attributes:
        columns: item of `StagedBatches`
    """

    columns: dict[str, torch.Tensor]


class MaskedBatches(Dataset[dict[str, Any]]):
    """The micro-batches of a run, masked; item i depends on i alone, so it may be made ahead and in any process.

    Args:
        batches: micro-batches of the whole run
        masker: the masker with its rate schedule; a stage of `single_tokens` has its units replaced
        window: half of the model's window: a token sees so many on each side
        flat: give one row without padding, see `flat_row`; else rows as they were packed, with `document_ids`
        label_capacity, filled: see `flat_row`
        causal_share: share of the micro-batches that are causal, in [0, 1), see `is_causal_batch`

    Raises:
        ValueError: For a `label_capacity` of rows that are not flat, or causal micro-batches beside loss weights.
    """

    def __init__(
        self,
        batches: StagedBatches,
        masker: Masker,
        window: int,
        flat: bool = True,
        label_capacity: int | None = None,
        filled: bool = False,
        causal_share: float = 0.0,
    ) -> None:
        if label_capacity is not None and not flat:
            raise ValueError(f"label_capacity={label_capacity} is for flat rows; leave it out, or give flat=True")
        if causal_share and (masker.class_loss is not None or masker.inverse_rate_loss):
            raise ValueError(
                f"causal_share={causal_share} has no place for the loss weights of this masking; set it to 0, or take "
                "a masking without them"
            )
        self.batches, self.masker, self.window = batches, masker, window
        self.flat, self.label_capacity, self.filled = flat, label_capacity, filled
        self.causal_share = causal_share
        by_tokens = replace(masker, units=TokenUnits())
        self._maskers = [by_tokens if stage.single_tokens else masker for stage in batches.stages]

    def __len__(self) -> int:
        """Return the number of micro-batches of the run."""
        return len(self.batches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return a micro-batch: the model's inputs and `facts`, or as `unmasked` what only its step can mask."""
        columns = self.batches[index]
        if is_causal_batch(index, self.causal_share):
            return self._causal(columns)
        return {UNMASKED: UnmaskedBatch(columns)} if self.masker.follows_model else self.mask(columns)[0]

    def mask(self, columns: dict[str, torch.Tensor]) -> tuple[dict[str, Any], MaskedBatch]:
        """Mask an item of `StagedBatches` at the rate of its step.

        Returns:
            The model's inputs with `facts`, and what the masker did.
        """
        number = int(columns["micro_batch"])
        step = number // self.batches.micro_batches_per_step
        masker = self._maskers[stage_at(step, self.batches.ends)]
        columns = {name: column for name, column in columns.items() if name != "micro_batch"}
        inputs, masked = mask_tensors(masker, columns, step / self.batches.ends[-1], columns["epochs"].numpy())
        words = masked_words(columns["word_ids"].numpy(), masked["labels"])
        return self._item(number, inputs, masked, words), masked

    def _causal(self, columns: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return an item of `StagedBatches` as a causal micro-batch; no step, rate or model changes it."""
        labelled = next_tokens(columns["input_ids"].numpy(), columns["document_ids"].numpy())
        inputs = {name: columns[name] for name in ("input_ids", "document_ids")}
        inputs["labels"] = torch.from_numpy(labelled["labels"])
        item = self._item(int(columns["micro_batch"]), inputs, labelled, np.zeros(0, dtype=np.int32), is_causal=True)
        return {**item, IS_CAUSAL: True}

    def _item(
        self, number: int, inputs: dict[str, Any], masked: MaskedBatch, words: np.ndarray, is_causal: bool = False
    ) -> dict[str, Any]:
        """Return the model's inputs, flat where that is asked for, with `facts`."""
        documents, work = inputs["document_ids"].numpy(), Workload()
        work.add(documents, int(np.count_nonzero(masked["selected"])), self.window, is_causal)
        if self.flat:
            inputs = flat_row(masked, documents, self.label_capacity, self.filled)
        return {**inputs, FACTS: BatchFacts(number, count_masks(masked), work, words)}

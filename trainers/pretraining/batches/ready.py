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
from .flat import flat_row, masked_words

# Keys of an item beside the model's inputs.
FACTS = "facts"
UNMASKED = "unmasked"


@dataclass(frozen=True)
class BatchFacts:
    """What the process that trains wants to know of a micro-batch; no tensor, so nothing moves it to a device.

    Attributes:
        micro_batch: its number in the run
        masks: counts for the statistics of masking
        work: what it asks of the model
        words: int32 `[M]`, see `masked_words`
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

    Raises:
        ValueError: For a `label_capacity` of rows that are not flat.
    """

    def __init__(
        self,
        batches: StagedBatches,
        masker: Masker,
        window: int,
        flat: bool = True,
        label_capacity: int | None = None,
        filled: bool = False,
    ) -> None:
        if label_capacity is not None and not flat:
            raise ValueError(f"label_capacity={label_capacity} is for flat rows; leave it out, or give flat=True")
        self.batches, self.masker, self.window = batches, masker, window
        self.flat, self.label_capacity, self.filled = flat, label_capacity, filled
        by_tokens = replace(masker, units=TokenUnits())
        self._maskers = [by_tokens if stage.single_tokens else masker for stage in batches.stages]

    def __len__(self) -> int:
        """Return the number of micro-batches of the run."""
        return len(self.batches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return a micro-batch: the model's inputs and `facts`, or as `unmasked` what only its step can mask."""
        columns = self.batches[index]
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
        documents, words = columns["document_ids"].numpy(), columns["word_ids"].numpy()
        inputs, masked = mask_tensors(masker, columns, step / self.batches.ends[-1], columns["epochs"].numpy())
        work = Workload()
        work.add(documents, int(np.count_nonzero(masked["selected"])), self.window)
        facts = BatchFacts(number, count_masks(masked), work, masked_words(words, masked["labels"]))
        if self.flat:
            inputs = flat_row(masked, documents, self.label_capacity, self.filled)
        return {**inputs, FACTS: facts}, masked

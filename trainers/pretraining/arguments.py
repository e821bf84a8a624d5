"""Arguments of pre-training: the fields of its recipes."""

import dataclasses
import logging
from typing import Any, ClassVar

from transformers import TrainingArguments

from ...runtime.options import LibraryOptions, refuse_idle_options
from ...runtime.training_arguments import library_options
from ..data.batch_plan import BatchSizeWarmup
from ..data.stages import steps_for_positions
from .options import PretrainingOptions

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class PretrainingArguments(PretrainingOptions, TrainingArguments):
    """Arguments of pre-training: our own, and the fields of the library that act here (`library_options`)."""

    library_options: ClassVar[LibraryOptions]

    per_device_train_batch_size: int = 1
    remove_unused_columns: bool = False
    logging_nan_inf_filter: bool = False
    ddp_find_unused_parameters: bool | None = False

    def __post_init__(self) -> None:
        """Refuse what would not act.

        Raises:
            ValueError: For a field of the library that is not read here and not at its default.
        """
        refuse_idle_options(self)
        super().__post_init__()

    @property
    def batch_size_warmup(self) -> BatchSizeWarmup:
        """The growth of the batch at the start."""
        return BatchSizeWarmup(self.batch_size_warmup_share, self.batch_size_warmup_start)

    def get_warmup_steps(self, num_training_steps: int) -> int:
        """Return the steps of the warm-up; a share of a short run leaves a step after it."""
        steps = super().get_warmup_steps(num_training_steps)
        return min(steps, num_training_steps - 1) if self.warmup_steps < 1 else steps

    def steps_of_budget(self, max_tokens: int, micro_batches: int) -> int:
        """Return the steps that read `max_tokens` positions, or `max_steps` where that is given too and ends earlier.

        Args:
            max_tokens: positions of the run
            micro_batches: micro-batches of a step, over all processes
        """
        size, growth = self.tokens_per_micro_batch, self.batch_size_warmup
        steps = steps_for_positions(max_tokens, self.stages, micro_batches, size, growth)
        if 0 < self.max_steps < steps:
            logger.warning("max_steps=%d ends the run before max_tokens=%d is read", self.max_steps, max_tokens)
            return self.max_steps
        return steps

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as trackers such as TensorBoard write it."""
        return {**super().to_dict(), "stages": [dataclasses.asdict(stage) for stage in self.stages]}


PretrainingArguments.library_options = library_options("pretrain", PretrainingArguments, TrainingArguments)

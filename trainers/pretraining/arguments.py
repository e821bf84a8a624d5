"""Arguments of pre-training: the fields of its recipes, and what some of them choose on this machine."""

import dataclasses
import logging
import os
import shutil
from typing import Any, ClassVar

from transformers import TrainingArguments

from ...modeling.products_chinese_modernbert import set_products
from ...runtime.options import LibraryOptions, refuse_idle_options
from ...runtime.training_arguments import library_options
from ..data.batch_plan import BatchSizeWarmup
from ..data.stages import steps_for_positions
from .options import PretrainingOptions

COMPILERS = ("g++", "clang++", "cl")

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


def check_compiling(arguments: PretrainingArguments) -> None:
    """Check that layers can be compiled where that is asked for.

    Raises:
        ValueError: Beside `torch_compile`, or on a CPU without a C++ compiler.
    """
    if not arguments.compile_layers:
        return
    if arguments.torch_compile:
        raise ValueError("compile_layers and torch_compile are both true; set one, compile_layers keeps rows flat")
    compilers = (os.environ.get("CXX"), *COMPILERS)
    if arguments.device.type == "cpu" and not any(name and shutil.which(name) for name in compilers):
        raise ValueError(
            f"compile_layers needs a C++ compiler on a CPU, and none of {', '.join(COMPILERS)} is on the PATH; "
            "install one, or set compile_layers: false"
        )


def choose_products(arguments: PretrainingArguments, recorded: str | None = None) -> str:
    """Choose the library of a run's products, and return it.

    Args:
        arguments: with `cpu_products`
        recorded: what a run that goes on has used; it stands where `cpu_products` is `auto`, since another library
            rounds otherwise

    Raises:
        ValueError: For an unknown library, or one that this torch lacks.
    """
    is_open = arguments.cpu_products == "auto"
    return set_products(recorded if is_open and recorded else arguments.cpu_products)

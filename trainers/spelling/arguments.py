"""Options of training for spelling correction: our own, and the fields of the library that act here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from transformers import TrainingArguments

from ...modeling.spelling_chinese_modernbert import RELM
from ...runtime.options import LibraryOptions, refuse_idle_options
from ...runtime.training_arguments import library_options
from ..lora import refuse_idle_alpha
from .options import SpellingOptions


@dataclass
class SpellingArguments(SpellingOptions, TrainingArguments):
    """Options of `spell train`."""

    library_options: ClassVar[LibraryOptions]

    save_strategy: str = "no"
    eval_strategy: str = "epoch"
    logging_nan_inf_filter: bool = False
    remove_unused_columns: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked before any file is opened.

        Raises:
            ValueError: If an option is missing or out of range, or one is given that does not act.
        """
        refuse_idle_options(self)
        super().__post_init__()
        refuse_idle_alpha(self.lora_rank, self.lora_alpha)
        for name in ("model", "train"):
            if not getattr(self, name):
                raise ValueError(f"the command line gives no '{name}'; add --{name}")
        if self.dev and self.dev_share != SpellingOptions.dev_share:
            raise ValueError(f"dev_share={self.dev_share:g} is not read beside dev; give one of them")
        if self.arm == RELM and self.detection_weight != SpellingOptions.detection_weight:
            raise ValueError(f"detection_weight={self.detection_weight:g} is not read by relm, which has no detector")


SpellingArguments.library_options = library_options("spell", SpellingArguments, TrainingArguments)

"""Arguments of contrastive training: the fields of its recipes."""

import dataclasses
from typing import Any, ClassVar

from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

from ...runtime.options import LibraryOptions, refuse_idle_options
from ...runtime.training_arguments import library_options
from ..lora import refuse_idle_alpha
from .options import ContrastiveOptions

# At 0.6 the search finds 0.99 of the pairs, and less below. Source: 32 bands of 4 (see `leakage`).
LOWEST_LEAKAGE_SIMILARITY = 0.6


@dataclasses.dataclass
class ContrastiveArguments(ContrastiveOptions, SentenceTransformerTrainingArguments):
    """Arguments of contrastive training: our own, and the fields of the library that act here (`library_options`)."""

    library_options: ClassVar[LibraryOptions]

    save_strategy: str = "no"
    logging_nan_inf_filter: bool = False

    def __post_init__(self) -> None:
        refuse_idle_options(self)
        super().__post_init__()
        refuse_idle_alpha(self.lora_rank, self.lora_alpha)
        if self.leakage not in ("refuse", "drop", "report"):
            raise ValueError(f"leakage='{self.leakage}' is not known; choose refuse, drop or report")
        if self.pooling not in ("mean", "cls"):
            raise ValueError(f"pooling='{self.pooling}' is not known; choose mean or cls")
        if not LOWEST_LEAKAGE_SIMILARITY <= self.leakage_similarity <= 1:
            raise ValueError(
                f"leakage_similarity={self.leakage_similarity} must be from {LOWEST_LEAKAGE_SIMILARITY} to 1: less "
                "similar texts are not found for certain"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as trackers such as TensorBoard write it."""
        return {**super().to_dict(), "stages": [dataclasses.asdict(stage) for stage in self.stages]}


ContrastiveArguments.library_options = library_options(
    "sts", ContrastiveArguments, SentenceTransformerTrainingArguments
)

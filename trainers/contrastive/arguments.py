"""Arguments of training in stages: the fields of the recipes of `sts` and `retrieval`."""

import dataclasses
from typing import Any, ClassVar

from sentence_transformers.base.training_args import BaseTrainingArguments

from ...runtime.options import LibraryOptions, default_of, refuse_idle_options
from ...runtime.training_arguments import library_options
from ..lora import refuse_idle_alpha
from .options import LOSSES_OF_KINDS, LOSSES_OF_TRIPLETS, ContrastiveOptions, ContrastiveStage, StageOptions
from .retrieval_options import ACTS_FOR, RetrievalOptions

# At 0.6 the search finds 0.99 of the pairs, and less below. Source: 32 bands of 4 (see `leakage`).
LOWEST_LEAKAGE_SIMILARITY = 0.6


@dataclasses.dataclass
class StageArguments(StageOptions, BaseTrainingArguments):
    """What the arguments of every command that trains in stages share."""

    library_options: ClassVar[LibraryOptions]
    # A stage is compared with its own settings and those before it; what is only reported is scored by itself.
    may_differ: ClassVar[tuple[str, ...]] = ("stages", "against")

    save_strategy: str = "no"
    logging_nan_inf_filter: bool = False

    def __post_init__(self) -> None:
        refuse_idle_options(self)
        super().__post_init__()
        refuse_idle_alpha(self.lora_rank, self.lora_alpha)
        if self.leakage not in ("refuse", "drop", "report"):
            raise ValueError(f"leakage='{self.leakage}' is not known; choose refuse, drop or report")
        if not LOWEST_LEAKAGE_SIMILARITY <= self.leakage_similarity <= 1:
            raise ValueError(
                f"leakage_similarity={self.leakage_similarity} must be from {LOWEST_LEAKAGE_SIMILARITY} to 1: less "
                "similar texts are not found for certain"
            )

        if self.max_steps == 0:
            raise ValueError(
                "max_steps=0 would train for the epochs; leave it out, or give stages: [] to train nothing"
            )
        usual = default_of(next(field for field in dataclasses.fields(self) if field.name == "mining_margin"))
        if self.mining_margin != usual and self.stages and not any(one.mined_negatives for one in self.stages):
            raise ValueError(f"mining_margin={self.mining_margin} acts where a stage has mined_negatives; leave it out")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as trackers such as TensorBoard write it."""
        return {**super().to_dict(), "stages": [dataclasses.asdict(stage) for stage in self.stages]}


@dataclasses.dataclass
class ContrastiveArguments(ContrastiveOptions, StageArguments):
    """Arguments of `sts`: our own, and the fields of the library that act here (`library_options`)."""

    may_differ: ClassVar[tuple[str, ...]] = (*StageArguments.may_differ, "baselines", "baseline_corpus", "mteb")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_pooling(self.pooling)
        refuse_losses(self.stages, "dense")


@dataclasses.dataclass
class RetrievalArguments(RetrievalOptions, StageArguments):
    """Arguments of `retrieval`: our own, and the fields of the library that act here (`library_options`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_pooling(self.pooling)
        for field in dataclasses.fields(self):
            kinds = ACTS_FOR.get(field.name)
            if kinds and self.kind not in kinds and getattr(self, field.name) != default_of(field):
                acts = f"{field.name} acts for kind {' or '.join(kinds)}"
                raise ValueError(f"{acts}, and this is {self.kind}; leave it out")
        refuse_losses(self.stages, self.kind)
        if self.kind == "static":
            refuse_lengths(self.stages)


def refuse_losses(stages: list[ContrastiveStage], kind: str) -> None:
    """Refuse a stage whose loss a kind of model does not have.

    Raises:
        ValueError: For the first such stage.
    """
    losses = LOSSES_OF_KINDS.get(kind, LOSSES_OF_TRIPLETS)
    for stage in stages:
        if stage.loss not in losses:
            raise ValueError(f"loss={stage.loss} is none of kind {kind}; choose one of {', '.join(losses)}")


def refuse_lengths(stages: list[ContrastiveStage]) -> None:
    """Refuse a length for texts that are read whole.

    Raises:
        ValueError: For the first stage that has one.
    """
    usual = default_of(next(field for field in dataclasses.fields(ContrastiveStage) if field.name == "max_length"))
    for stage in stages:
        if stage.max_length != usual:
            raise ValueError(
                f"max_length={stage.max_length} acts for kinds that read with an encoder, a static table reads texts "
                "of any length; leave it out"
            )


def refuse_pooling(pooling: str) -> None:
    """Refuse a pooling that dense encoders here do not have.

    Raises:
        ValueError: For another than mean and cls.
    """
    if pooling not in ("mean", "cls"):
        raise ValueError(f"pooling='{pooling}' is not known; choose mean or cls")


DenseArguments = ContrastiveArguments | RetrievalArguments

for kind in (ContrastiveArguments, RetrievalArguments):
    kind.library_options = library_options("stages", kind, BaseTrainingArguments)

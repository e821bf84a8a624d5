"""Arguments of contrastive training: the fields of its recipes."""

import dataclasses
from typing import Any, ClassVar

from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

from ...runtime.options import LibraryOptions, refuse_unread
from ...runtime.training_arguments import SEVERAL_PROCESSES, complete
from .options import ContrastiveOptions

# At 0.6 the search finds 0.99 of the pairs, and less below. Source: 32 bands of 4 (see `leakage`).
LOWEST_LEAKAGE_SIMILARITY = 0.6


ACTING = {
    **SEVERAL_PROCESSES,
    "lr_scheduler_type": "the schedule of every stage",
    "lr_scheduler_kwargs": "the schedule of every stage",
    "optim": "the optimizer of every stage",
    "optim_args": "the optimizer of every stage",
    "logging_nan_inf_filter": "the logs of every stage",
    "dataloader_persistent_workers": "the data loader",
    "batch_sampler": "the batches of every data set",
    "multi_dataset_batch_sampler": "which data set the next batch is of",
}
EVALUATION = "every stage is scored at its end; use --evaluation and --retrieval"
SAVING = "every stage is saved at its end; leave it out"
REFUSED = {
    **dict.fromkeys(
        ("eval_strategy", "eval_steps", "eval_delay", "eval_on_start", "eval_accumulation_steps"), EVALUATION
    ),
    **dict.fromkeys(
        ("save_strategy", "save_steps", "save_total_limit", "save_only_model", "save_on_each_node"), SAVING
    ),
    "per_device_train_batch_size": "use batch_size of a stage in --stages",
    "per_device_eval_batch_size": EVALUATION,
    "num_train_epochs": "use epochs of a stage in --stages",
    "average_tokens_across_devices": "the loss is a mean over rows, not tokens; leave it out",
    "auto_find_batch_size": "use batch_size of a stage in --stages, and --cached_batch_size",
    "deepspeed": "every process holds the whole model; leave it out",
    "fsdp": "every process holds the whole model; leave it out",
    "fsdp_config": "every process holds the whole model; leave it out",
    "enable_jit_checkpoint": "give the same command again: finished stages are kept",
    "resume_from_checkpoint": "give the same command again: finished stages are kept",
    "load_best_model_at_end": SAVING,
    "data_seed": "use --seed",
    "dataloader_drop_last": "it follows from the number of processes; leave it out",
    "train_sampling_strategy": "use --batch_sampler",
    "prompts": "use --query_prompt and --document_prompt",
    "router_mapping": "no model here has a router; leave it out",
    "learning_rate_mapping": "use learning_rate of a stage in --stages",
    "warmup_ratio": "use --warmup_steps with a share below 1",
}


@dataclasses.dataclass
class ContrastiveArguments(ContrastiveOptions, SentenceTransformerTrainingArguments):
    """Arguments of contrastive training: our own, and the fields of the library that act here (`library_options`)."""

    library_options: ClassVar[LibraryOptions]

    save_strategy: str = "no"

    def __post_init__(self) -> None:
        refuse_unread(self)
        super().__post_init__()
        if self.temperature <= 0:
            raise ValueError(f"temperature={self.temperature} must be positive")
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


ContrastiveArguments.library_options = complete(
    ContrastiveArguments, SentenceTransformerTrainingArguments, ACTING, REFUSED
)

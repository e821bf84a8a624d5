"""Arguments of pre-training: the fields of its recipes."""

import dataclasses
from typing import Any, ClassVar

from transformers import TrainingArguments

from ...runtime.options import LibraryOptions, refuse_unread
from ...runtime.training_arguments import LEAVE_OUT, SEVERAL_PROCESSES, complete
from .options import PretrainingOptions

ACTING = {
    **SEVERAL_PROCESSES,
    "average_tokens_across_devices": "the loss on several processes",
    "data_seed": "reading order and masks, in place of seed",
    "eval_delay": "when the first evaluation is",
    "eval_on_start": "an evaluation before the first step",
    "fsdp": "sharding of model and optimizer",
    "fsdp_config": "sharding of model and optimizer",
}
REFUSED = {
    "per_device_train_batch_size": "use --tokens_per_micro_batch",
    "per_device_eval_batch_size": "evaluation rows follow from --tokens_per_micro_batch",
    "num_train_epochs": "use --max_tokens or --max_steps",
    "lr_scheduler_type": "use --lr_schedule",
    "lr_scheduler_kwargs": "use --lr_floor, --lr_cycles, --lr_gamma and --lr_decay_share",
    "optim": "use --optimizer",
    "optim_args": "use --adam_beta1, --adam_beta2 and --adam_epsilon",
    "resume_from_checkpoint": "use --resume",
    "remove_unused_columns": "the masker reads columns that the model does not; leave it out",
    "logging_nan_inf_filter": "the guard judges such a loss; see --on_bad_batch",
    "include_num_input_tokens_seen": "positions_seen is in every line of the log; leave it out",
    "auto_find_batch_size": "use --tokens_per_micro_batch",
    "eval_accumulation_steps": "evaluation adds up as it goes; leave it out",
    "save_only_model": "a checkpoint must be able to go on; the folder final holds the weights alone",
    "enable_jit_checkpoint": "a checkpoint is saved at SIGTERM and SIGUSR1 anyway; leave it out",
    "load_best_model_at_end": "the schedule ends at the last step; pick a checkpoint by hand",
    "dataloader_drop_last": "the batches follow from stages and steps; leave it out",
    "dataloader_persistent_workers": "workers live as long as the run; leave it out",
    "deepspeed": "it has not been tried here; use --fsdp and --fsdp_config",
    "metric_for_best_model": LEAVE_OUT,
    "greater_is_better": LEAVE_OUT,
}


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
        refuse_unread(self)
        super().__post_init__()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as trackers such as TensorBoard write it."""
        return {**super().to_dict(), "stages": [dataclasses.asdict(stage) for stage in self.stages]}


PretrainingArguments.library_options = complete(PretrainingArguments, TrainingArguments, ACTING, REFUSED)

"""What becomes of each field of `transformers.TrainingArguments` in our training commands, as far as all agree.

Read from Transformers 5; a field of a newer version that is in no table is refused too (`complete`).
"""

import dataclasses
from collections.abc import Mapping

from .options import LibraryOptions

TRAINER = "the loop of Trainer"
ACCELERATE = "Accelerate, when the Trainer prepares model and optimizer"
ACTING: dict[str, str] = {
    "adam_beta1": "the optimizer",
    "adam_beta2": "the optimizer",
    "adam_epsilon": "the optimizer",
    "weight_decay": "the optimizer",
    "max_grad_norm": TRAINER,
    "max_steps": TRAINER,
    "gradient_accumulation_steps": TRAINER,
    "bf16": ACCELERATE,
    "fp16": ACCELERATE,
    "tf32": "torch, when the arguments are made",
    "activation_checkpointing": TRAINER,
    "activation_checkpointing_kwargs": TRAINER,
    "gradient_checkpointing": TRAINER,
    "gradient_checkpointing_kwargs": TRAINER,
    "torch_compile": ACCELERATE,
    "torch_compile_backend": ACCELERATE,
    "torch_compile_mode": ACCELERATE,
    "torch_empty_cache_steps": TRAINER,
    "logging_strategy": TRAINER,
    "logging_steps": TRAINER,
    "logging_first_step": TRAINER,
    "log_level": "the Trainer's own logger",
    "disable_tqdm": "the progress bar",
    "report_to": "the trackers",
    "run_name": "the trackers",
    "project": "the tracker trackio",
    "trackio_space_id": "the tracker trackio",
    "trackio_bucket_id": "the tracker trackio",
    "trackio_static_space_id": "the tracker trackio",
    "seed": "every random choice",
    "full_determinism": TRAINER,
    "use_cpu": "the device",
    "dataloader_num_workers": "the data loader",
    "dataloader_pin_memory": "the data loader",
    "dataloader_prefetch_factor": "the data loader",
    "debug": TRAINER,
}
SEVERAL_PROCESSES: dict[str, str] = {
    "log_level_replica": "the Trainer's own logger, on other processes than the first",
    "log_on_each_node": "the logs of other machines",
    "accelerator_config": "Accelerate",
    "ddp_find_unused_parameters": "DistributedDataParallel",
    "ddp_bucket_cap_mb": "DistributedDataParallel",
    "ddp_broadcast_buffers": "DistributedDataParallel",
    "ddp_static_graph": "DistributedDataParallel",
    "ddp_backend": "the process group",
    "ddp_timeout": "the process group",
    "local_rank": "the process group; torchrun sets it",
}
PUSH = "upload the finished folder with the command push"
LEAVE_OUT = "leave it out"
REFUSED: dict[str, str] = {
    "label_smoothing_factor": "the loss is ours and has no smoothing; leave it out",
    "optim_target_modules": "no optimizer here reads it; leave it out",
    "bf16_full_eval": "use --bf16, which evaluation follows",
    "fp16_full_eval": "use --fp16, which evaluation follows",
    "use_liger_kernel": "its kernels do not know these models; use --torch_compile",
    "liger_kernel_config": "its kernels do not know these models; use --torch_compile",
    "use_cache": "an encoder has no cache; leave it out",
    "neftune_noise_alpha": "noise on embeddings is not offered; leave it out",
    "auto_find_batch_size": "give a batch that fits, and keep its size with --gradient_accumulation_steps",
    "include_num_input_tokens_seen": "it would be in no record of the run; leave it out",
    "prediction_loss_only": "evaluation gives its own scores; leave it out",
    "eval_do_concat_batches": "evaluation collects its own results; leave it out",
    "eval_use_gather_object": "evaluation collects its own results; leave it out",
    "include_for_metrics": "evaluation gives its own scores; leave it out",
    "batch_eval_metrics": "evaluation gives its own scores; leave it out",
    "save_on_each_node": "put output_dir on storage that every machine sees",
    "push_to_hub": PUSH,
    "hub_token": "run hf auth login, or set HF_TOKEN, and use the command push",
    "hub_private_repo": "the command push keeps a repository private unless --public is given",
    "hub_model_id": "use --repo_id of the command push",
    "hub_strategy": PUSH,
    "hub_always_push": PUSH,
    "hub_revision": "use --revision of the command push",
    "metric_for_best_model": LEAVE_OUT,
    "greater_is_better": LEAVE_OUT,
    "ignore_data_skip": "what was done before is never done again; leave it out",
    "restore_callback_states_from_checkpoint": "no callback here has such a state; leave it out",
    "parallelism_config": "only Python code can make one, and no command uses it; leave it out",
    "dataloader_multiprocessing_context": "workers start as the system's default says; leave it out",
    "dataloader_in_order": "batches always come in order; leave it out",
    "remove_unused_columns": "columns are chosen by the collator; leave it out",
    "label_names": "the names of labels are fixed; leave it out",
    "group_by_length": "the order of rows is fixed by --seed; leave it out",
    "train_sampling_strategy": "the order of rows is fixed by --seed; leave it out",
    "length_column_name": "rows are measured, not read by a column; leave it out",
    "deepspeed": "it has not been tried here; leave it out, or shard a pre-training run with --fsdp",
    "skip_memory_metrics": "it would be in no record of the run; leave it out",
    "do_train": "the command trains; leave it out",
    "do_eval": "evaluation follows from the other options; leave it out",
    "do_predict": "evaluation follows from the other options; leave it out",
}


def complete(kind: type, library: type, acting: Mapping[str, str], refused: Mapping[str, str]) -> LibraryOptions:
    """Return the table of a command: the shared rows and the command's, which win.

    Args:
        kind: the command's dataclass
        library: the dataclass that it extends
        acting: name -> where it acts
        refused: name -> what to do instead; a field that no table knows and `kind` does not declare is refused too
    """
    fields = {field.name for field in dataclasses.fields(library)}
    never = {**{name: instead for name, instead in REFUSED.items() if name not in acting}, **refused}
    acts = {name: where for name, where in {**ACTING, **acting}.items() if name in fields and name not in never}
    own = {field.name for field in dataclasses.fields(kind) if "group" in field.metadata}
    unknown = fields - acts.keys() - never.keys() - own
    return LibraryOptions(acts, {**never, **dict.fromkeys(unknown, "no command here reads it; leave it out")})

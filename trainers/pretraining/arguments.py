"""Arguments of pre-training: the fields of its recipes."""

import dataclasses
from typing import Any

from transformers import TrainingArguments

from ...runtime.options import argument
from ..data.stages import Stage


@dataclasses.dataclass
class PretrainingArguments(TrainingArguments):
    """Arguments of pre-training: the library's own, with defaults for this model, and a few more.

    Sources of the defaults: ModernBERT's recipe for optimizer and clipping (betas 0.9 / 0.98, eps 1e-6, weight decay
    1e-5, norm 1.0), ModernBERT-large for the peak learning rate; the rest, where the paper is silent, is ours.
    """

    data: str = argument("", "Folder of prepared shards to train on.")
    eval_data: str | None = argument(None, "Folder of prepared shards to evaluate on.")
    tokenizer: str = argument("", "Folder of the tokenizer that made the shards; the command takes the shipped one.")
    model: str = argument("base", "Size of a new model (tiny, small, base, large) or a checkpoint folder.")
    model_overrides: dict | None = argument(None, "Fields of the model's configuration that differ from the preset.")
    stages: list[Stage] = argument(
        list, "Stages: context_length, share or steps, RoPE bases, long_share, source_weights."
    )
    source_weights: dict | None = argument(
        None, "Readings per epoch of some sources, such as {news: 2.0}; 1 for the others."
    )
    tokens_per_micro_batch: int = argument(8_192, "Positions of a micro-batch on one device, the same in every stage.")
    max_tokens: int | None = argument(None, "Length of the run in positions, in place of max_steps; a ramp adds steps.")
    batch_size_warmup_share: float = argument(0.0, "Share of the steps over which the batch grows to its full size.")
    batch_size_warmup_start: float = argument(
        0.25, "First size of a growing batch, and its steps, as a share of the full."
    )
    lr_schedule: str = argument("damped_cosine", "damped_cosine, cosine, linear or warmup_stable_decay.")
    lr_cycles: int = argument(3, "Peaks of the damped cosine.")
    lr_gamma: float = argument(0.5, "Share of the peak that the damped cosine's upper line keeps at the end.")
    lr_floor: float = argument(0.1, "Final learning rate as a share of the peak.")
    lr_decay_share: float = argument(0.2, "Share of the steps after warm-up in which warmup_stable_decay falls.")
    optimizer: str = argument("stable_adamw", "stable_adamw or adamw.")
    masking: str = argument("chinese_modernbert", "Masking method: a preset of docs/masking.md.")
    masking_options: dict | None = argument(None, "Options of that preset, such as {high: 0.4} or {units: tokens}.")
    objective: str = argument("mlm", "mlm, bag_of_words, retromae or mae_lm; see docs/objectives.md.")
    objective_options: dict | None = argument(None, "Options of that objective, such as {pooling: mean}.")
    eval_mask_rate: float = argument(0.15, "Masking rate of every evaluation.")
    eval_context_length: int | None = argument(None, "Tokens a row in evaluation; null: those of the longest stage.")
    maximum_single_token_share: float | None = argument(
        0.995, "Stop when more masking units have one token; null: never."
    )
    z_loss: float = argument(0.0, "Factor of the z-loss, the mean of logsumexp(logits)^2 at masked tokens; 0: none.")
    on_bad_batch: str = argument("stop", "stop or skip where a loss or gradient is not finite, or the loss jumps.")
    spike_factor: float | None = argument(None, "A loss over so many times the median of 100 steps is bad; null: none.")
    max_skipped: int = argument(10, "Steps that a whole run may skip.")
    peak_flops: float | None = argument(None, "Peak operations/s of a device for utilisation; null: by the GPU's name.")
    check_hashes: bool = argument(False, "Compare the SHA-256 of every shard before training.")
    resume: str | None = argument(None, "'auto': from the last checkpoint of output_dir; a folder: from that one.")
    overwrite: bool = argument(False, "Replace the run in output_dir.")

    learning_rate: float = argument(5e-4, "Peak learning rate.")
    warmup_steps: float = argument(0.05, "Steps of linear warm-up, or a share of the run below 1.")
    weight_decay: float = argument(1e-5, "Weight decay of matrices and embeddings.")
    adam_beta2: float = argument(0.98, "Decay of the second moment.")
    adam_epsilon: float = argument(1e-6, "Term of the optimizer's denominator.")
    logging_steps: float = argument(10, "Steps between two log lines.")
    save_steps: float = argument(1_000, "Steps between two checkpoints.")
    save_total_limit: int | None = argument(3, "Checkpoints to keep.")
    per_device_train_batch_size: int = argument(1, "Not read: the batch follows from tokens_per_micro_batch.")
    remove_unused_columns: bool = argument(False, "Must stay false: the masker reads columns that the model does not.")
    logging_nan_inf_filter: bool = argument(False, "Must stay false: the guard judges such a loss.")
    ddp_find_unused_parameters: bool | None = argument(False, "Every parameter is used in every step.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as trackers such as TensorBoard write it."""
        return {**super().to_dict(), "stages": [dataclasses.asdict(stage) for stage in self.stages]}

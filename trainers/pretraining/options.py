"""Our own options of pre-training, apart from the library's, so that `--help` is quick."""

from dataclasses import dataclass

from ...runtime.options import argument
from ..data.arguments import Stage


@dataclass
class PretrainingOptions:
    """Our own options of pre-training.

    Sources of the defaults: ModernBERT's recipe for optimizer and clipping (betas 0.9 / 0.98, eps 1e-6, weight decay
    1e-5, norm 1.0), ModernBERT-large for the peak learning rate; the rest, where the paper is silent, is ours.
    """

    data: str = argument("", "Folder of prepared shards to train on.", group="Data and model")
    eval_data: str | None = argument(None, "Folder of prepared shards to evaluate on.")
    tokenizer: str = argument("", "Folder of the tokenizer of the shards; if empty, the shipped one.")
    model: str = argument("base", "New model (tiny, mini, small, base, large) or folder of a checkpoint.")
    model_overrides: dict | None = argument(None, "Fields of a new model's configuration, {name: value}.")
    output_dir: str | None = argument(None, "Folder of the run: checkpoints, log, final.", group="Output")
    resume: str | None = argument(None, "auto: from the last checkpoint in output_dir; or a checkpoint.")
    overwrite: bool = argument(False, "Replace the run in output_dir.")
    save_strategy: str = argument("steps", "steps, epoch or no.")
    save_steps: float = argument(
        1_000, "Steps between two checkpoints, or a share of the run below 1.", within="(0, inf)"
    )
    save_total_limit: int | None = argument(3, "Checkpoints to keep.", within="[1, inf)")
    logging_steps: float = argument(10, "Steps between two log lines.", within="(0, inf)")

    max_tokens: int | None = argument(
        None, "Positions to read, instead of max_steps.", group="Length and batches", within="[1, inf)"
    )
    max_steps: int = argument(-1, "Optimizer steps of the run; -1: as max_tokens says.", within="[-1, 1e12]")
    stages: list[Stage] = argument(list, "Each with context_length and share or steps; keys below.")
    tokens_per_micro_batch: int = argument(8_192, "Positions per micro-batch and device, always.", within="[1, inf)")
    gradient_accumulation_steps: int = argument(1, "Micro-batches per step and device.", within="[1, inf)")
    batch_size_warmup_share: float = argument(0.0, "Share of the steps in which the batch grows.", within="[0, 1)")
    batch_size_warmup_start: float = argument(0.25, "First size of a growing batch, as a share.", within="(0, 1]")
    source_weights: dict | None = argument(None, "Samples per epoch by source, {news: 2.0}; others 1.")
    dataloader_num_workers: int = argument(0, "Processes that read, pack and mask.", within="[0, inf)")
    seed: int = argument(42, "Seed of weights, dropout, reading order and masks.", within="[0, 4294967295]")

    learning_rate: float = argument(5e-4, "Peak learning rate.", group="Optimizer and schedule", within="(0, inf)")
    lr_schedule: str = argument("damped_cosine", "damped_cosine, cosine, linear or warmup_stable_decay.")
    warmup_steps: float = argument(0.05, "Steps of linear warm-up, or a share of the run below 1.", within="[0, inf)")
    lr_floor: float = argument(0.1, "Final learning rate as a share of the peak; not of linear.", within="[0, 1]")
    lr_cycles: int = argument(3, "Peaks of the damped cosine.", within="[1, inf)")
    lr_gamma: float = argument(0.5, "Share of the peak that the damped cosine's upper line ends at.", within="[0, 1]")
    lr_decay_share: float = argument(0.2, "Share of the run in which warmup_stable_decay falls.", within="(0, 1]")
    optimizer: str = argument("stable_adamw", "stable_adamw, adamw or muon.")
    muon_learning_rate: float | None = argument(
        None, "Muon's own peak learning rate; null: learning_rate.", within="(0, inf)"
    )
    muon_momentum: float = argument(0.95, "Decay of Muon's momentum.", within="[0, 1)")
    take_optimizer: bool = argument(False, "Begin with the moments of the checkpoint that model names, too.")
    weight_decay: float = argument(1e-5, "Weight decay of matrices and embeddings.", within="[0, inf)")
    weight_decay_embeddings: float | None = argument(
        None, "That of embeddings and decoder; null: weight_decay.", within="[0, inf)"
    )
    center_embeddings: bool = argument(False, "Take their mean over the vocabulary out after each step.")
    decoder_starts_at: str = argument("zero", "A new decoder's bias: zero, or the tokens' log frequencies.")
    ema_decay: float | None = argument(
        None, "Decay of an average of the weights, such as 0.999; null: none.", within="(0, 1)"
    )
    ema_evaluation: bool = argument(False, "Evaluate the averaged weights in place of the last ones.")
    adam_beta1: float = argument(0.9, "Decay of the first moment.", within="[0, 1)")
    adam_beta2: float = argument(0.98, "Decay of the second moment.", within="[0, 1)")
    adam_epsilon: float = argument(1e-6, "Term of the optimizer's denominator.", within="(0, inf)")
    max_grad_norm: float = argument(1.0, "Norm that gradients are clipped to.", within="[0, inf)")

    masking: str = argument("chinese_modernbert", "Masking method of docs/masking.md.", group="Masking and objective")
    masking_options: dict | None = argument(None, "Options of that method, {high: 0.4, units: tokens}.")
    objective: str = argument("mlm", "mlm, bag_of_words, retromae or mae_lm; see docs/objectives.md.")
    objective_options: dict | None = argument(None, "Options of that objective, {pooling: mean}.")
    causal_share: float = argument(0.0, "Share of micro-batches that predict next tokens.", within="[0, 1)")
    z_loss: float = argument(0.0, "Factor of the mean of logsumexp(logits)^2; 0: no z-loss.", within="[0, inf)")

    eval_strategy: str = argument("no", "steps, epoch or no.", group="Evaluation")
    eval_steps: float | None = argument(
        None, "Steps between two evaluations, or a share of the run below 1.", within="(0, inf)"
    )
    eval_mask_rate: float = argument(0.15, "Masking rate of every evaluation.", within="(0, 1]")
    eval_context_length: int | None = argument(
        None, "Tokens per row; null: those of the longest stage.", within="[3, inf)"
    )

    on_bad_batch: str = argument("stop", "stop or skip, at a loss or gradient that is not finite.", group="Guards")
    spike_factor: float | None = argument(
        None, "A loss over this times the median is bad; null: none is.", within="(1, inf)"
    )
    max_skipped: int = argument(10, "Steps that the run may skip.", within="[0, inf)")
    maximum_single_token_share: float | None = argument(
        0.995, "Stop when more masking units have one token; null: never.", within="(0, 1)"
    )
    check_hashes: bool = argument(True, "Compare the SHA-256 of new or touched shards.")

    bf16: bool = argument(False, "Autocast to bfloat16; the weights stay float32.", group="Machine")
    compile_layers: bool = argument(False, "Compile the layers beside their attention; rows stay flat.")
    torch_compile: bool = argument(False, "Compile the whole model, in padded rows.")
    cpu_products: str = argument("auto", "Who multiplies float32 on CPU: auto, torch, onednn; kept on resume.")
    use_cpu: bool = argument(False, "Do not use a GPU.")
    peak_flops: float | None = argument(
        None, "Peak operations/s of a device, for mfu; null: by GPU name.", within="(0, inf)"
    )
    report_to: None | str | list[str] = argument("none", "Trackers: tensorboard, wandb, ...", names=True)

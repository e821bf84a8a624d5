"""Our own options of training for spelling correction, apart from the library's, so that `--help` is quick."""

from dataclasses import dataclass
from typing import Literal

from ...runtime.options import argument
from ..lora import DEFAULT_LORA_ALPHA


@dataclass
class SpellingOptions:
    """Our own options of `spell train`.

    Each seed trains on the pairs of `train`; after each epoch the threshold is fitted on the pairs of `dev`, and the
    weights of the best epoch are kept with their threshold. Test files are corrected once, by those weights.
    """

    model: str = argument("", "Folder of a masked language model, or of a corrector.", group="Model and data")
    train: list[str] = argument(list, "Files of pairs, JSON lines of source and target; may end in .gz.", names=True)
    dev: list[str] = argument(list, "Files of pairs that choose epoch and threshold; none: a share.", names=True)
    dev_share: float = argument(0.1, "Share of the pairs of train held out where no dev is given.", within="(0, 1)")
    test: list[str] = argument(list, "Files of pairs for the report.", names=True)
    unequal: Literal["refuse", "skip"] = argument("refuse", "What becomes of pairs of unequal length.")
    leakage_similarity: float = argument(
        0.9, "Training texts this similar to one of dev or test are left out; 1: equal ones alone.", within="(0, 1]"
    )
    leakage_of: Literal["pairs", "sources"] = argument(
        "pairs", "Which texts are compared for that: sources and targets, or sources alone."
    )
    confusion: list[str] = argument(list, "Files of confusion sets; nothing else is corrected then.", names=True)

    output_dir: str | None = argument(None, "Folder of runs, models and report.", group="Output")
    overwrite: bool = argument(False, "Replace the results in output_dir.")

    arm: Literal["tagging", "soft_masked", "relm"] = argument("tagging", "How text is read.", group="Correction")
    false_positive_rate: float = argument(
        0.05, "Share of the clean sentences of dev that may be changed.", within="[0, 1]"
    )
    longest_sentence: int = argument(256, "Characters that are read together at most.", within="[1, inf)")
    masked_share: float = argument(
        0.2, "Share of the right characters that are hidden in training (masked fine-tuning).", within="[0, 1)"
    )
    detection_weight: float = argument(0.2, "Share of the detector in the loss.", within="[0, 1]")

    seed: int = argument(1, "First seed.", group="Training", within="[0, 4294967295]")
    seeds: int = argument(1, "Runs: seed, seed + 1, ...", within="[1, inf)")
    learning_rate: float = argument(2e-4, "Peak learning rate.", within="(0, inf)")
    num_train_epochs: float = argument(10.0, "Epochs.", within="(0, inf)")
    patience: int = argument(0, "Epochs without a better score before a run stops; 0: never.", within="[0, inf)")
    per_device_train_batch_size: int = argument(32, "Sentences per batch.", within="[1, inf)")
    gradient_accumulation_steps: int = argument(1, "Batches per step.", within="[1, inf)")
    warmup_steps: float = argument(0.1, "Steps of linear warm-up, or a share of the run below 1.", within="[0, inf)")
    lr_scheduler_type: str = argument("linear", "Schedule: linear, cosine, constant_with_warmup, ...")
    weight_decay: float = argument(0.01, "Weight decay of matrices.", within="[0, inf)")
    lora_rank: int = argument(0, "Rank of LoRA on every linear layer; 0: train all weights.", within="[0, inf)")
    lora_alpha: int = argument(DEFAULT_LORA_ALPHA, "Scale of LoRA, divided by the rank.")

    bf16: bool = argument(False, "Autocast to bfloat16; the weights stay float32.", group="Machine")
    use_cpu: bool = argument(False, "Do not use a GPU.")
    logging_steps: float = argument(50, "Steps between two log lines.", within="(0, inf)")
    report_to: None | str | list[str] = argument("none", "Trackers: tensorboard, wandb, ...", names=True)

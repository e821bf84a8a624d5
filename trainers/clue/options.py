"""Our own options of fine-tuning, apart from the library's, so that `--help` is quick."""

from dataclasses import dataclass
from typing import Literal

from ...evaluation.clue.own_tasks import OwnTask
from ...runtime.options import argument
from ..lora import DEFAULT_LORA_ALPHA

TASK_DEFAULT = 0
"""A number that the task's row of the table decides."""


@dataclass
class ClueOptions:
    """Our own options of the `clue` command.

    The protocol, our default: one fold of the training rows is held out; learning rate and epoch are chosen on it, and
    the dev rows are scored once, by the chosen weights. `select_on: dev` is the habit of the field instead (choose and
    report on the same rows); both scores are always printed under their own names.
    """

    model: str = argument("", "Folder or Hub name of any encoder that AutoModel loads.", group="Model and data")
    tokenizer: str = argument("", "Folder or name of its tokenizer, if it is not the model's.")
    trust_remote_code: bool = argument(False, "Allow the model's own code from its folder or the Hub.")
    tasks: list[str] = argument(list, "Names; none, or all: every task whose data are there.", names=True)
    task_file: list[str] = argument(list, "YAML files that describe tasks of your own, instead of tasks.", keys=OwnTask)
    data: str = argument("", "Folder of the archives, or hub; if empty: clue in CHINESE_MODERNBERT_DATA.")
    train_from: dict | None = argument(None, "{task: other tasks} whose training rows are added.")
    max_length: int = argument(TASK_DEFAULT, "Longest input in tokens; 0: the task's.", within="[0, inf)")
    max_train_samples: int | None = argument(None, "Training rows to draw at random; null: all.", within="[1, inf)")
    max_eval_samples: int | None = argument(None, "First rows of dev and test to score; null: all.", within="[1, inf)")

    output_dir: str | None = argument(None, "Folder of runs and report.", group="Output")
    overwrite: bool = argument(False, "Replace the results in output_dir.")
    predict_test: bool = argument(True, "Score the test files, and write those for the CLUE site.")
    save_model: bool = argument(False, "Keep the weights of every run with the chosen learning rate.")
    against: str | None = argument(None, "output_dir of another model's run, to compare row by row.")
    explain: int = argument(0, "Hardest dev rows of which every token's weight is shown.", within="[0, inf)")

    select_on: Literal["fold", "dev"] = argument("fold", "Rows that choose rate and epoch.", group="Protocol")
    folds: int = argument(10, "Folds of the training rows; one is held out.", within="[2, inf)")
    grid: bool = argument(False, "Choose the learning rate among learning_rates with the first seed.")
    learning_rates: list[float] = argument(list, "The grid; if empty: 1e-5, 2e-5, 3e-5, 5e-5.", within="(0, inf)")
    seed: int = argument(1, "First seed.", within="[0, 4294967295]")
    seeds: int = argument(1, "Runs with the chosen learning rate: seed, seed + 1, ...", within="[1, inf)")
    patience: float = argument(
        0.3,
        "Epochs without a better score before a run stops, or a share of them below 1 (2 at least); 0: never.",
        within="[0, inf)",
    )

    learning_rate: float = argument(0.0, "Peak learning rate; 0: the task's.", group="Training", within="[0, inf)")
    num_train_epochs: float = argument(0.0, "Epochs; 0: the task's.", within="[0, inf)")
    per_device_train_batch_size: int = argument(TASK_DEFAULT, "Rows per batch; 0: the task's.", within="[0, inf)")
    per_device_eval_batch_size: int = argument(32, "Rows per batch in scoring.", within="[1, inf)")
    gradient_accumulation_steps: int = argument(1, "Batches per step.", within="[1, inf)")
    warmup_steps: float = argument(0.1, "Steps of linear warm-up, or a share of the run below 1.", within="[0, inf)")
    lr_scheduler_type: str = argument("linear", "Schedule: linear, cosine, constant_with_warmup, ...")
    weight_decay: float = argument(0.01, "Weight decay of matrices.", within="[0, inf)")
    layer_decay: float = argument(
        1.0, "Learning rate of a layer as a share of that of the layer above.", within="(0, 1]"
    )
    class_weights: bool = argument(False, "Weigh classes by the inverse of their frequency.")
    lora_rank: int = argument(0, "Rank of LoRA on every linear layer; 0: train all weights.", within="[0, inf)")
    lora_alpha: int = argument(DEFAULT_LORA_ALPHA, "Scale of LoRA, divided by the rank.")
    masked_fine_tuning: bool = argument(False, "Mask half of the training texts at random rates (faithfulness).")

    bf16: bool = argument(False, "Autocast to bfloat16; the weights stay float32.", group="Machine")
    use_cpu: bool = argument(False, "Do not use a GPU.")
    logging_steps: float = argument(50, "Steps between two log lines.", within="(0, inf)")
    report_to: None | str | list[str] = argument("none", "Trackers: tensorboard, wandb, ...", names=True)

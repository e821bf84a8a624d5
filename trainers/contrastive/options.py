"""Our own options of training in stages, apart from the library's, so that `--help` is quick."""

import dataclasses
from typing import Any, Literal

from ...runtime.options import argument
from ...runtime.settings import require_ranges
from ..lora import DEFAULT_LORA_ALPHA

LOSSES_OF_TRIPLETS = ("in_batch_negatives", "distillation")
# The losses of a kind of model, where it has others than those of triplets.
LOSSES_OF_KINDS = {
    "dense": (*LOSSES_OF_TRIPLETS, "cosent"),
    "static": (*LOSSES_OF_TRIPLETS, "cosent"),
    "reranker": (*LOSSES_OF_TRIPLETS, "binary_cross_entropy"),
}
LOSSES = tuple(dict.fromkeys(loss for losses in LOSSES_OF_KINDS.values() for loss in losses))


@dataclasses.dataclass
class ContrastiveStage:
    """One stage of training; the model goes on from the stage before, optimizer and schedule start anew.

    Every batch comes from one of its sets; `in_batch_negatives` is an in-batch softmax of triplets, `cosent` a ranking
    loss of scored pairs, `binary_cross_entropy` that of pairs which fit or do not, for a reranker, and `distillation`
    learns how much more the positive scores than a negative in the eyes of a `teacher`.
    """

    data: list[str] = argument(dataclasses.MISSING, "Sets of the table (stsb, stsb:train) or files to train on.")
    loss: Literal["in_batch_negatives", "cosent", "binary_cross_entropy", "distillation"] = argument(
        "in_batch_negatives", "Of triplets; cosent: of scored pairs; of a reranker; or of a teacher's scores."
    )
    epochs: float = argument(1.0, "Passes over the data.", within="(0, inf)")
    learning_rate: float | None = argument(None, "Peak learning rate; null: that of the command.", within="(0, inf)")
    batch_size: int = argument(
        64, "Rows of a batch, which all processes share; the other rows are negatives.", within="[1, inf)"
    )
    max_length: int = argument(64, "Longest text in tokens; longer ones are cut.", within="[1, inf)")
    hard_negatives: int = argument(
        1, "Given negatives of a row that are used; rows with fewer make own batches.", within="[0, inf)"
    )
    mined_negatives: int = argument(0, "Negatives mined for each row as the stage begins.", within="[0, inf)")
    negatives_from: str | None = argument(
        None, "What finds them: model (as the stage begins), bm25, or a folder; null: model, of a reranker bm25."
    )
    teacher: str | None = argument(
        None, "Folder of a reranker: scores what is distilled, and decides which mined text is no negative."
    )
    max_rows: int | None = argument(
        None, "Most rows of each set, the first after shuffling; null: all.", within="[1, inf)"
    )
    average_with_start: float = argument(0.0, "Share of the starting weights in those it leaves.", within="[0, 1)")

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("a stage has no data; name at least one set or file")
        if self.loss not in LOSSES:
            raise ValueError(f"loss='{self.loss}' is not known; choose one of {', '.join(LOSSES)}")
        require_ranges(self)
        if self.negatives_from and not self.mined_negatives:
            raise ValueError(f"negatives_from='{self.negatives_from}' finds nothing; give mined_negatives too")
        if self.loss == "distillation" and not self.teacher:
            raise ValueError("distillation needs a teacher; give the folder of a reranker")
        if self.teacher and self.loss != "distillation" and not self.mined_negatives:
            raise ValueError(f"teacher='{self.teacher}' is not read; use loss: distillation, or mined_negatives")
        if self.loss == "cosent" and self.mined_negatives:
            raise ValueError("cosent trains on scored pairs alone and takes no mined_negatives; leave them out")
        if self.batch_size < 2 and self.loss == "in_batch_negatives":
            raise ValueError("batch_size=1 leaves no negative in the batch; use at least 2, better hundreds")


@dataclasses.dataclass
class StageOptions:
    """Our own options of every command that trains in stages.

    Sources of the defaults: 2e-5, 64 tokens and the sizes of batches are ours (standard bi-encoder practice; the paper
    names the data and nothing else).
    """

    model: str = argument("", "Folder of a checkpoint or release; any encoder of AutoModel.", group="Model and data")
    data: str = argument("", "Folder of the table's sentence sets; not for own files.")
    stages: list[ContrastiveStage] = argument(
        list, "Each with data, loss, epochs, batch_size, max_length ...; none: only score the model."
    )
    trust_remote_code: bool = argument(False, "Allow other models' own code; ours never needs it.")
    query_prompt: str = argument("", "Text put before each query.")
    document_prompt: str = argument("", "Text put before each document.")

    output_dir: str | None = argument(None, "Folder of stages, report and the final model.", group="Output")
    overwrite: bool = argument(False, "Replace finished stages of other settings in output_dir.")

    retrieval: list[str] = argument(
        list, "Sets of passages or triplets to search in after every stage.", group="Evaluation", names=True
    )
    against: list[str] = argument(list, "Other models, or output_dirs of the same command, to compare with.")
    leakage: str = argument("refuse", "Training texts in an evaluation set: refuse, drop or report.")
    leakage_similarity: float = argument(0.9, "From this similarity on two texts are nearly the same; 1: exact.")
    bootstrap_resamples: int = argument(1_000, "Samples behind every interval.", within="[1, inf)")

    learning_rate: float = argument(2e-5, "Peak learning rate.", group="Training", within="(0, inf)")
    warmup_steps: float = argument(0.1, "Steps of linear warm-up, or a share of the stage below 1.", within="[0, inf)")
    lr_scheduler_type: str = argument("linear", "Schedule: linear, cosine, constant_with_warmup, ...")
    max_steps: int = argument(-1, "Steps of every stage, instead of its epochs.", within="[-1, 1e12]")
    gradient_accumulation_steps: int = argument(1, "Batches per step.", within="[1, inf)")
    mining_margin: float = argument(
        0.05, "A mined text this close to the positive's score (share) is no negative.", within="[0, 1]"
    )
    lora_rank: int = argument(0, "Rank of LoRA on linear layers; 0: train all weights.", within="[0, inf)")
    lora_alpha: int = argument(DEFAULT_LORA_ALPHA, "Scale of LoRA, divided by the rank.")
    batch_sampler: Any = argument("no_duplicates", "no_duplicates: no text twice in a batch, as its own negative.")
    seed: int = argument(42, "Seed of every random choice.", within="[0, 4294967295]")

    bf16: bool = argument(False, "Autocast to bfloat16; the weights stay float32.", group="Machine")
    use_cpu: bool = argument(False, "Do not use a GPU.")
    logging_steps: float = argument(50, "Steps between two log lines.", within="(0, inf)")
    report_to: None | str | list[str] = argument("none", "Trackers: tensorboard, wandb, ...", names=True)


@dataclasses.dataclass
class DenseOptions:
    """What a dense encoder is, and how its vectors are compared in training.

    Sources of the defaults: temperature 0.05, symmetric loss and mean pooling are ours.
    """

    pooling: str = argument("mean", "mean over real tokens, or cls.", group="Dense vectors")
    normalize: bool = argument(False, "Scale vectors to length 1 inside the model.")
    temperature: float = argument(0.05, "Cosines are divided by it before the softmax.", within="(0, inf)")
    symmetric_loss: bool = argument(True, "Find the anchor among all anchors too, not the positive alone.")
    cached_batch_size: int | None = argument(
        None, "Rows embedded at once with cached gradients; null: no cache.", within="[1, inf)"
    )
    matryoshka_sizes: list[int] = argument(
        list, "Sizes that vectors may be cut to; the loss is summed over them.", within="[1, inf)"
    )


@dataclasses.dataclass
class ContrastiveOptions(DenseOptions, StageOptions):
    """Our own options of `sts`."""

    evaluation: list[str] = argument(
        list,
        "Scored sets or files for every stage (stsb:test); this or retrieval is needed.",
        group="Similarity",
        names=True,
    )
    baselines: bool = argument(True, "Score fresh weights, static embeddings and BM25 as baselines.")
    baseline_corpus: list[str] = argument(list, "Text files of the static embeddings; none: the stages' texts.")
    mteb: list[str] = argument(list, "Tasks or benchmarks of mteb for the last stage, fetched: 'MTEB(cmn, v1)', LCQMC.")

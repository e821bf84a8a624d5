"""Arguments of contrastive training: the fields of its recipes."""

import dataclasses
from typing import Any, Literal

from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

from ...runtime.options import argument
from ..lora import DEFAULT_LORA_ALPHA

# At 0.6 the search finds 0.99 of the pairs, and less below. Source: 32 bands of 4 (see `leakage`).
LOWEST_LEAKAGE_SIMILARITY = 0.6
LOSSES = ("in_batch_negatives", "cosent")


@dataclasses.dataclass
class ContrastiveStage:
    """One stage of contrastive training; the model goes on from the stage before, optimizer and schedule start anew.

    Attributes:
        data: Sets to train on: names of the table (`stsb`, or `stsb:train` to name the split) or JSON-lines files.
            Every batch comes from one of them.
        loss: `in_batch_negatives` (triplets; in-batch softmax) or `cosent` (scored pairs; a ranking loss).
        epochs: Passes over the data.
        learning_rate: Peak learning rate; None takes that of the recipe.
        batch_size: Rows of a batch, which all processes share; every other row of it is a negative.
        max_length: Longest text in tokens; longer ones are cut.
        hard_negatives: Given negatives of a row that are used; rows with fewer make batches of their own. 0 uses none.
        mined_negatives: Negatives that are mined for each row with the model as it is when the stage begins.
        max_rows: Most rows of each set, the first after shuffling; None takes all.
    """

    data: list[str]
    loss: Literal["in_batch_negatives", "cosent"] = "in_batch_negatives"
    epochs: float = 1.0
    learning_rate: float | None = None
    batch_size: int = 64
    max_length: int = 64
    hard_negatives: int = 1
    mined_negatives: int = 0
    max_rows: int | None = None

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("a stage has no data; name at least one set or file")
        if self.loss not in LOSSES:
            raise ValueError(f"loss='{self.loss}' is not known; choose one of {', '.join(LOSSES)}")
        for name in ("epochs", "batch_size", "max_length"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)} of a stage must be positive")
        if self.batch_size < 2 and self.loss == "in_batch_negatives":
            raise ValueError("batch_size=1 leaves no negative in the batch; use at least 2, better hundreds")
        if min(self.hard_negatives, self.mined_negatives) < 0 or (self.max_rows is not None and self.max_rows < 1):
            raise ValueError("hard_negatives and mined_negatives must not be negative, max_rows at least 1")


@dataclasses.dataclass
class ContrastiveArguments(SentenceTransformerTrainingArguments):
    """Arguments of contrastive training: the library's own, with defaults for this model, and a few more.

    Sources of the defaults: temperature 0.05, symmetric loss, mean pooling, 2e-5 and 64 tokens are ours (standard
    bi-encoder practice; the paper names the data and nothing else).
    """

    model: str = argument("", "Checkpoint or released folder to start from; any encoder of AutoModel works.")
    data: str = argument("", "Folder of the sentence sets of the table.")
    stages: list[ContrastiveStage] = argument(list, "Stages: data, loss, epochs, batch_size ...; none: only score.")
    evaluation: list[str] = argument(list, "Scored sets to evaluate on after every stage, such as stsb:test.")
    retrieval: list[str] = argument(list, "Sets of passages or triplets to search in after every stage.")
    baselines: bool = argument(True, "Score fresh weights, static embeddings and BM25 as baselines.")
    baseline_corpus: list[str] = argument(list, "Text files of the static embeddings; none: the texts of the stages.")
    against: list[str] = argument(
        list, "Other encoders, or output_dirs of other sts runs, to compare with in the report."
    )
    temperature: float = argument(0.05, "Cosines are divided by it before the softmax.")
    symmetric_loss: bool = argument(True, "Find the anchor among all anchors too, not the positive alone.")
    cached_batch_size: int | None = argument(None, "Rows embedded at once under cached gradients; null: no caching.")
    matryoshka_sizes: list[int] = argument(list, "Lengths to which vectors may be cut, the loss is summed over them.")
    query_prompt: str = argument("", "Text put before each query.")
    document_prompt: str = argument("", "Text put before each document.")
    pooling: str = argument("mean", "mean over real tokens, or cls.")
    normalize: bool = argument(False, "Scale vectors to length 1 inside the model.")
    leakage: str = argument("refuse", "Training texts that occur in an evaluation set: refuse, drop or report.")
    leakage_similarity: float = argument(0.9, "From which similarity on two texts are nearly the same; 1 is exact.")
    mining_margin: float = argument(0.05, "A mined text this close to the positive's score (share) is no negative.")
    lora_rank: int = argument(0, "Rank of LoRA on every linear layer of the encoder; 0: train all weights.")
    lora_alpha: int = argument(DEFAULT_LORA_ALPHA, "Scale of LoRA, divided by the rank.")
    mteb: list[str] = argument(list, "Tasks or benchmarks of mteb for the last stage, fetched: 'MTEB(cmn, v1)', LCQMC.")
    trust_remote_code: bool = argument(False, "Allow other models' own code from their folders; ours never needs it.")
    bootstrap_resamples: int = argument(1_000, "Samples behind every interval.")
    overwrite: bool = argument(False, "Replace finished stages in output_dir.")

    learning_rate: float = argument(2e-5, "Peak learning rate.")
    warmup_steps: float = argument(0.1, "Steps of linear warm-up, or a share of the stage below 1.")
    batch_sampler: Any = argument("no_duplicates", "No text twice in a batch, or it would be its own negative.")
    logging_steps: float = argument(50, "Steps between two log lines.")
    save_strategy: str = argument("no", "The stages are saved when they end.")

    def __post_init__(self) -> None:
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

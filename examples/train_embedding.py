"""Train an encoder to embed texts, so that what belongs together is near, with sentence-transformers.

    python train_embedding.py --model MODEL --train_file train.jsonl --validation_file dev.jsonl --output_dir embedder \
        --num_train_epochs 1 --learning_rate 5e-5 --per_device_train_batch_size 64

MODEL is a released folder or a name on the Hub. A row is a pair: `anchor`, such as a question or a title, and
`positive`, the text that answers or continues it; a third column `negative` may hold a text that does not. Every other
positive of a batch is a negative too, so large batches are good. The files are CSV or JSON lines. Needs
`pip install 'sentence-transformers[train]'`.
"""

from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset, DatasetDict, load_dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.training_args import BatchSamplers
from transformers import HfArgumentParser, set_seed


@dataclass
class ScriptArguments:
    model: str = field(metadata={"help": "folder of the encoder, or its name on the Hub"})
    dataset_name: str | None = field(default=None, metadata={"help": "data set of the Hub, in place of the two files"})
    train_file: str | None = field(default=None, metadata={"help": ".csv, or .jsonl with an object on each line"})
    validation_file: str | None = field(default=None, metadata={"help": "the same form"})
    anchor_column: str = field(default="anchor", metadata={"help": "column of the text that is searched with"})
    positive_column: str = field(default="positive", metadata={"help": "column of the text to be found"})
    negative_column: str | None = field(default=None, metadata={"help": "column of a text that is not to be found"})
    max_length: int = field(default=128, metadata={"help": "tokens of a text in training; what is longer is cut"})
    trust_remote_code: bool = field(default=False, metadata={"help": "run the code that lies in the model's folder"})


def load_rows(script: ScriptArguments) -> DatasetDict:
    """Return the splits `train` and `validation`, their columns in the order that the loss reads them in."""
    if script.dataset_name:
        rows = load_dataset(script.dataset_name)
    else:
        form = "csv" if Path(script.train_file).suffix == ".csv" else "json"
        rows = load_dataset(form, data_files={"train": script.train_file, "validation": script.validation_file})
    columns = [script.anchor_column, script.positive_column, script.negative_column]
    return rows.select_columns([column for column in columns if column])


def search_of(rows: Dataset, script: ScriptArguments) -> InformationRetrievalEvaluator:
    """Return a search: every anchor shall find its positive among the positives of all rows."""
    anchors, positives = rows[script.anchor_column], rows[script.positive_column]
    numbers = {text: str(number) for number, text in enumerate(dict.fromkeys(positives))}  # a text counts once
    wanted: dict[str, set[str]] = {}
    for anchor, positive in zip(anchors, positives, strict=True):
        wanted.setdefault(anchor, set()).add(numbers[positive])
    return InformationRetrievalEvaluator(
        queries={anchor: anchor for anchor in wanted},
        corpus={number: text for text, number in numbers.items()},
        relevant_docs=wanted,
        name="validation",
    )


def main() -> None:
    parser = HfArgumentParser((ScriptArguments, SentenceTransformerTrainingArguments))
    script, training = parser.parse_args_into_dataclasses()
    training.batch_sampler = BatchSamplers.NO_DUPLICATES  # a text twice in a batch would be its own negative
    set_seed(training.seed)
    rows = load_rows(script)

    # A folder without modules of sentence-transformers gets a mean over its tokens; a warning says so.
    # Weights of a bfloat16 release would be trained as they are, and small steps be rounded away.
    options = {"dtype": "float32"}
    model = SentenceTransformer(script.model, trust_remote_code=script.trust_remote_code, model_kwargs=options)
    longest, model.max_seq_length = model.max_seq_length, script.max_length
    search = search_of(rows["validation"], script)
    before = search(model)

    trainer = SentenceTransformerTrainer(
        model=model,
        args=training,
        train_dataset=rows["train"],
        loss=MultipleNegativesRankingLoss(model),
    )
    trainer.train()
    after = search(model)
    metrics = {}
    for name in ("cosine_accuracy@1", "cosine_mrr@10", "cosine_ndcg@10"):
        metrics[f"eval_{name}_before"] = before[f"validation_{name}"]
        metrics[f"eval_{name}"] = after[f"validation_{name}"]
    trainer.log_metrics("eval", metrics)
    trainer.save_metrics("eval", metrics)
    model.max_seq_length = longest  # trained on short texts, it reads long ones
    model.save_pretrained(training.output_dir)

    # As somebody else loads it.
    saved = SentenceTransformer(training.output_dir, trust_remote_code=script.trust_remote_code)
    anchor, positive = rows["validation"][0][script.anchor_column], rows["validation"][0][script.positive_column]
    similarity = saved.similarity(saved.encode_query(anchor), saved.encode_document(positive))
    print(f"{anchor!r} and {positive!r}: {similarity.item():.3f}")


if __name__ == "__main__":
    main()

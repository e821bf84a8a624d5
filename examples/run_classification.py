"""Fine-tune an encoder to classify texts, or pairs of texts, with nothing but Transformers and datasets.

    python run_classification.py --model MODEL --train_file train.csv --validation_file dev.csv \
        --output_dir classifier --num_train_epochs 3 --learning_rate 5e-5 --per_device_train_batch_size 32

MODEL is a released folder or a name on the Hub. The files are CSV or JSON lines with a column `text` and a column
`label`, which may be a word or a number; `--dataset_name` takes a data set of the Hub instead. The other options are
those of `TrainingArguments`. Needs `pip install accelerate datasets transformers`.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from datasets import DatasetDict, load_dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    pipeline,
    set_seed,
)


@dataclass
class ScriptArguments:
    model: str = field(metadata={"help": "folder of the encoder, or its name on the Hub"})
    dataset_name: str | None = field(default=None, metadata={"help": "data set of the Hub, in place of the two files"})
    train_file: str | None = field(default=None, metadata={"help": ".csv, or .jsonl with an object on each line"})
    validation_file: str | None = field(default=None, metadata={"help": "the same form"})
    text_column: str = field(default="text", metadata={"help": "column of the text"})
    pair_column: str | None = field(default=None, metadata={"help": "column of the second text of a pair"})
    label_column: str = field(default="label", metadata={"help": "column of the label"})
    max_length: int = field(default=128, metadata={"help": "tokens of a text; what is longer is cut"})
    trust_remote_code: bool = field(default=False, metadata={"help": "run the code that lies in the model's folder"})


def load_rows(script: ScriptArguments) -> DatasetDict:
    """Return the splits `train` and `validation`."""
    if script.dataset_name:
        return load_dataset(script.dataset_name)
    form = "csv" if Path(script.train_file).suffix == ".csv" else "json"
    return load_dataset(form, data_files={"train": script.train_file, "validation": script.validation_file})


def main() -> None:
    script, training = HfArgumentParser((ScriptArguments, TrainingArguments)).parse_args_into_dataclasses()
    set_seed(training.seed)  # the head is drawn at random
    rows = load_rows(script)

    # One table for both splits, made from the training rows alone.
    name_of = getattr(rows["train"].features[script.label_column], "int2str", str)  # the Hub may know names of numbers
    names = [name_of(label) for label in sorted(set(rows["train"][script.label_column]))]
    numbers = {name: number for number, name in enumerate(names)}

    tokenizer = AutoTokenizer.from_pretrained(script.model, trust_remote_code=script.trust_remote_code)
    model = AutoModelForSequenceClassification.from_pretrained(
        script.model,
        dtype="float32",  # a bfloat16 release would be trained as it is, and small steps be rounded away
        trust_remote_code=script.trust_remote_code,
        id2label=dict(enumerate(names)),
        label2id=numbers,
    )

    def encode(batch: dict) -> dict:
        texts = [batch[column] for column in (script.text_column, script.pair_column) if column]
        encoded = tokenizer(*texts, truncation=True, max_length=script.max_length)
        return {**encoded, "labels": [numbers[name_of(label)] for label in batch[script.label_column]]}

    encoded = rows.map(encode, batched=True, remove_columns=rows["train"].column_names)

    def score(prediction: EvalPrediction) -> dict[str, float]:
        found, labels = prediction.predictions.argmax(axis=-1), prediction.label_ids
        most_frequent = np.bincount(labels).max() / len(labels)
        return {"accuracy": float((found == labels).mean()), "accuracy_of_the_most_frequent_label": most_frequent}

    trainer = Trainer(
        model,
        training,
        train_dataset=encoded["train"],
        eval_dataset=encoded["validation"],
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        compute_metrics=score,
    )
    trainer.train()
    metrics = trainer.evaluate()
    trainer.log_metrics("eval", metrics)
    trainer.save_metrics("eval", metrics)
    trainer.save_model()  # the tokenizer is saved with it

    # As somebody else loads it.
    classify = pipeline(
        "text-classification", training.output_dir, trust_remote_code=script.trust_remote_code, device="cpu"
    )
    first = rows["validation"][0]
    pair = {"text": first[script.text_column]}
    if script.pair_column:
        pair["text_pair"] = first[script.pair_column]
    print(f"{pair} is {classify(pair)}, expected {first[script.label_column]!r}")


if __name__ == "__main__":
    main()

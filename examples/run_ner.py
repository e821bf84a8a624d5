"""Fine-tune an encoder to find entities, and get their exact places in the text back.

    python run_ner.py --model MODEL --train_file train.jsonl --validation_file dev.jsonl --output_dir tagger \
        --num_train_epochs 5 --learning_rate 1e-4

MODEL is a released folder or a name on the Hub. A row has `tokens`, a list of characters or words, and `tags`, as many
BIO, BMES or BIOES tags; in a data set of the Hub (`--dataset_name`) the tags may be numbers with names. Entities of
Chinese begin between any two characters, tokens do not: `EntityTagging` makes every Han character a token and gives
exact spans. Needs `pip install 'chinese-modernbert[train]'`.
"""

from dataclasses import dataclass, field

import torch
from datasets import DatasetDict, load_dataset
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    HfArgumentParser,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
    set_seed,
)

from chinese_modernbert.tokenization import EntityTagging, Span, spans_of_tags


@dataclass
class ScriptArguments:
    model: str = field(metadata={"help": "folder of the encoder, or its name on the Hub"})
    dataset_name: str | None = field(default=None, metadata={"help": "data set of the Hub, in place of the two files"})
    train_file: str | None = field(default=None, metadata={"help": ".jsonl with an object on each line"})
    validation_file: str | None = field(default=None, metadata={"help": "the same form"})
    tokens_column: str = field(default="tokens", metadata={"help": "column of the characters or words"})
    tags_column: str = field(default="tags", metadata={"help": "column of their tags"})
    max_length: int = field(default=256, metadata={"help": "tokens of a text; what is longer is cut"})
    trust_remote_code: bool = field(default=False, metadata={"help": "run the code that lies in the model's folder"})


def load_rows(script: ScriptArguments) -> DatasetDict:
    """Return the splits `train` and `validation` with the columns `text` and `entities`."""
    if script.dataset_name:
        rows = load_dataset(script.dataset_name)
    else:
        rows = load_dataset("json", data_files={"train": script.train_file, "validation": script.validation_file})
    names = getattr(rows["train"].features[script.tags_column].feature, "names", None)

    def read(row: dict) -> dict:
        tags = [names[tag] if names else tag for tag in row[script.tags_column]]
        text, entities = spans_of_tags(row[script.tokens_column], tags)
        return {"text": text, "entities": [{"start": s.start, "end": s.end, "label": s.label} for s in entities]}

    return rows.map(read, remove_columns=rows["train"].column_names)


def find_entities(text: str, model: PreTrainedModel, tagging: EntityTagging) -> list[Span]:
    """Return the entities of a text; `start` and `end` count its characters."""
    row = tagging.encode(text, truncation=True, max_length=model.config.max_position_embeddings)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([row["input_ids"]])).logits
    return tagging.spans(row["offset_mapping"], logits[0].argmax(dim=-1).tolist())


def main() -> None:
    script, training = HfArgumentParser((ScriptArguments, TrainingArguments)).parse_args_into_dataclasses()
    set_seed(training.seed)  # the head is drawn at random
    rows = load_rows(script)
    kinds = sorted({entity["label"] for entities in rows["train"]["entities"] for entity in entities})
    tagging = EntityTagging(
        AutoTokenizer.from_pretrained(script.model, trust_remote_code=script.trust_remote_code), kinds
    )
    model = AutoModelForTokenClassification.from_pretrained(
        script.model,
        dtype="float32",  # a bfloat16 release would be trained as it is, and small steps be rounded away
        trust_remote_code=script.trust_remote_code,
        id2label=tagging.id2label,
        label2id=tagging.label2id,
    )

    def encode(row: dict) -> dict:
        entities = [Span(**entity) for entity in row["entities"]]
        return tagging.encode(row["text"], entities, truncation=True, max_length=script.max_length)

    trainer = Trainer(
        model,
        training,
        train_dataset=rows["train"].map(encode, remove_columns=["text", "entities"]).remove_columns("offset_mapping"),
        data_collator=DataCollatorForTokenClassification(tagging.tokenizer),
        processing_class=tagging.tokenizer,
    )
    trainer.train()
    trainer.save_model()  # the tokenizer that makes every Han character a token belongs to the model

    # As somebody else loads it: exact spans, compared with those of the validation rows.
    saved = AutoModelForTokenClassification.from_pretrained(
        training.output_dir, trust_remote_code=script.trust_remote_code
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(training.output_dir, trust_remote_code=script.trust_remote_code)
    tagging = EntityTagging(tokenizer, kinds)
    right = found = expected = 0
    for number, row in enumerate(rows["validation"]):
        gold, spans = {Span(**entity) for entity in row["entities"]}, set(find_entities(row["text"], saved, tagging))
        right, found, expected = right + len(gold & spans), found + len(spans), expected + len(gold)
        if number < 3:
            print(row["text"], [(s.start, s.end, s.label, row["text"][s.start : s.end]) for s in sorted(spans)])
    scores = {"eval_precision": right / max(found, 1), "eval_recall": right / max(expected, 1)}
    scores["eval_f1"] = 2 * right / max(found + expected, 1)
    trainer.log_metrics("eval", scores)
    trainer.save_metrics("eval", scores)


if __name__ == "__main__":
    main()

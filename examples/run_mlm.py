"""Pre-train a masked language model further on text of your own: whole words are masked, at a rate that changes.

    python run_mlm.py --model MODEL --train_file train.txt --validation_file dev.txt --output_dir adapted \
        --max_steps 1000 --learning_rate 1e-4 --per_device_train_batch_size 32

MODEL is a released folder or a name on the Hub. The files hold a text on each line, `.txt`, or JSON lines with a column
`text`. A segmenter finds the words; the share that is masked goes up and down over the run, as in the paper. Needs
`pip install 'chinese-modernbert[train]'`. For a model from scratch on much text take `chinese-modernbert pretrain`.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

from datasets import DatasetDict, load_dataset
from transformers import AutoModelForMaskedLM, AutoTokenizer, HfArgumentParser, TrainingArguments, pipeline, set_seed

from chinese_modernbert import DataCollatorForWholeWordMasking, MaskingTrainer, chinese_modernbert
from chinese_modernbert.tokenization import encode_documents, load_segmenter
from chinese_modernbert.trainers.masking import MaskingRateCallback, MaskVocabulary


@dataclass
class ScriptArguments:
    model: str = field(metadata={"help": "folder of the masked language model, or its name on the Hub"})
    dataset_name: str | None = field(default=None, metadata={"help": "data set of the Hub, in place of the two files"})
    train_file: str | None = field(default=None, metadata={"help": ".txt, or .jsonl with an object on each line"})
    validation_file: str | None = field(default=None, metadata={"help": "the same form"})
    text_column: str = field(default="text", metadata={"help": "column of the text"})
    max_length: int = field(default=256, metadata={"help": "tokens of a row; a longer text becomes several rows"})
    trust_remote_code: bool = field(default=False, metadata={"help": "run the code that lies in the model's folder"})


def load_rows(script: ScriptArguments) -> DatasetDict:
    """Return the splits `train` and `validation`."""
    if script.dataset_name:
        return load_dataset(script.dataset_name)
    form = "text" if Path(script.train_file).suffix == ".txt" else "json"
    return load_dataset(form, data_files={"train": script.train_file, "validation": script.validation_file})


def main() -> None:
    script, training = HfArgumentParser((ScriptArguments, TrainingArguments)).parse_args_into_dataclasses()
    training.remove_unused_columns = False  # the model has no argument `word_starts`; the masker needs it
    set_seed(training.seed)
    rows = load_rows(script)
    tokenizer = AutoTokenizer.from_pretrained(script.model, trust_remote_code=script.trust_remote_code)
    model = AutoModelForMaskedLM.from_pretrained(
        script.model,
        dtype="float32",  # a bfloat16 release would be trained as it is, and small steps be rounded away
        trust_remote_code=script.trust_remote_code,
    )
    segmenter = load_segmenter("rjieba")

    def encode(batch: dict) -> dict:
        """Return rows of ids and of marks that say where a word starts, cut at `max_length`."""
        encoded = {"input_ids": [], "word_starts": []}
        room = script.max_length - 2
        for document in encode_documents(tokenizer, segmenter, [text or "" for text in batch[script.text_column]]):
            ids, starts = document.input_ids.tolist(), document.word_starts.tolist()
            for begin in range(0, len(ids), room):
                row = [tokenizer.cls_token_id, *ids[begin : begin + room], tokenizer.sep_token_id]
                encoded["input_ids"].append(row)
                encoded["word_starts"].append([True, *starts[begin : begin + room], True])
        return encoded

    encoded = rows.map(encode, batched=True, remove_columns=rows["train"].column_names)
    trainer = MaskingTrainer(
        model=model,
        args=training,
        train_dataset=encoded["train"],
        eval_dataset=encoded["validation"],
        data_collator=DataCollatorForWholeWordMasking(tokenizer),
        masker=chinese_modernbert(MaskVocabulary.from_tokenizer(tokenizer)),  # the rate rises and falls over the run
        processing_class=tokenizer,
    )
    trainer.add_callback(MaskingRateCallback(trainer.masking_statistics))  # logs it, and sees lost word starts
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    metrics = trainer.evaluate()  # 15 % of the tokens, the same ones each time
    metrics["eval_perplexity_before"] = math.exp(before)
    metrics["eval_perplexity"] = math.exp(metrics["eval_loss"])
    trainer.log_metrics("eval", metrics)
    trainer.save_metrics("eval", metrics)
    trainer.save_model()  # the tokenizer is saved with it

    # As somebody else loads it.
    fill = pipeline("fill-mask", training.output_dir, trust_remote_code=script.trust_remote_code, device="cpu")
    text = f"今天天气很{tokenizer.mask_token}。"
    print(text, [(answer["token_str"], round(answer["score"], 3)) for answer in fill(text)])


if __name__ == "__main__":
    main()

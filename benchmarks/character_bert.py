r"""A peer: Transformers' BERT over characters, pre-trained on the same corpus with the optimizer and schedule of ours.

python benchmarks/character_bert.py --size mini --corpus "$CHINESE_MODERNBERT_DATA/corpus/train-*.jsonl.gz" \
    --characters 15000000 --output_dir FOLDER

A WordPiece vocabulary in which every Chinese character stands alone, whole words masked at 15 % in a plain Trainer.
`mini` has as many parameters as our model of that name: the rows that 24,576 longer words would need are in the layers.
Documents are cut into pieces of at most 254 characters until the characters are used up; the seed draws which ones an
unfinished pass over the corpus takes. The Trainer draws the order of the pieces, those of like lengths together. A
piece that comes again in another pass has other masks.
"""

import argparse
import math
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from datasets import Dataset
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast, Trainer, TrainingArguments, set_seed

from chinese_modernbert.tokenization.documents import read_documents
from chinese_modernbert.trainers.masking.collator import DataCollatorForWholeWordMasking
from chinese_modernbert.trainers.masking.corruption import MaskVocabulary
from chinese_modernbert.trainers.masking.presets import bert_wwm
from chinese_modernbert.trainers.pretraining.optimizers import build_optimizer
from chinese_modernbert.trainers.pretraining.schedules import build_schedule

PIECE = 254
CONTEXT = 512
MUON_RATE = 5e-3
# Entries of the vocabulary that are left for what is no single character.
NO_CHARACTERS = 1_000
# Layers, width, heads, feed-forward. A block of tiny has as many weights as one of our gated 256; mini has 15.0 million
# parameters in all, ours 15.2.
SIZES = {"tiny": (4, 128, 2, 384), "mini": (12, 288, 6, 1_216)}


def train_tokenizer(documents: list[str], vocab_size: int, folder: str) -> BertTokenizerFast:
    backend = BertWordPieceTokenizer(lowercase=True)
    backend.train_from_iterator(
        documents, vocab_size=vocab_size, min_frequency=2, limit_alphabet=vocab_size - NO_CHARACTERS
    )
    Path(folder).mkdir(parents=True, exist_ok=True)
    backend.save_model(folder)
    return BertTokenizerFast(f"{folder}/vocab.txt", do_lower_case=True, model_max_length=CONTEXT)


def pieces(documents: list[str], characters: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield text and pass of each piece; by the pass masks differ, which the same text would otherwise have alike."""
    used, order, random_order = 0, list(documents), random.Random(seed)
    for epoch in count():
        random_order.shuffle(order)
        for document in order:
            for start in range(0, len(document), PIECE):
                piece = document[start : start + PIECE]
                used += len(piece)
                yield {"text": piece, "epoch": epoch}
                if used >= characters:
                    return


def optimizer_and_schedule(model: BertForMaskedLM, options: argparse.Namespace, steps: int) -> Any:
    """Return Muon beside StableAdamW under a flat rate that then decays, or None: AdamW under a linear decay."""
    if options.optimizer != "muon":
        return None, None
    rates = {"lr": options.learning_rate, "muon_lr": options.muon_learning_rate or MUON_RATE}
    optimizer = build_optimizer("muon", model, weight_decay=3e-4, **rates)
    return optimizer, build_schedule("warmup_stable_decay", optimizer, round(0.02 * steps), steps, floor=0.0)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", nargs="+", required=True)
    parser.add_argument("--characters", type=int, required=True)
    parser.add_argument("--vocab_size", type=int, default=8_192)
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--optimizer", choices=("adamw", "muon"), default="adamw")
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--muon_learning_rate", type=float, help=f"of --optimizer muon; default: {MUON_RATE:g}")
    parser.add_argument("--batch_size", type=int, default=16, help="pieces of a step")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output_dir", required=True)
    options = parser.parse_args()
    if options.muon_learning_rate is not None and options.optimizer != "muon":
        parser.error(f"--muon_learning_rate does nothing under --optimizer {options.optimizer}; leave it out")
    if options.vocab_size <= NO_CHARACTERS:
        parser.error(f"--vocab_size {options.vocab_size} leaves no room for characters; give more than {NO_CHARACTERS}")
    if Path(options.output_dir, "config.json").exists():
        parser.error(f"{options.output_dir} holds a model; give another --output_dir")
    return options


def main() -> None:
    options = read_options()
    documents = [document.text for document in read_documents(options.corpus) if document.text]
    if not documents:
        raise SystemExit(f"{' '.join(options.corpus)} holds no text")
    arguments = TrainingArguments(
        options.output_dir,
        num_train_epochs=1,
        per_device_train_batch_size=options.batch_size,
        bf16=options.bf16,
        learning_rate=options.learning_rate,
        warmup_steps=0.05,
        weight_decay=0.01,
        max_grad_norm=1.0,
        train_sampling_strategy="group_by_length",
        length_column_name="length",
        logging_steps=100,
        save_strategy="no",
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=options.seed,
    )
    tokenizer = train_tokenizer(documents, options.vocab_size, options.output_dir)
    set_seed(options.seed)
    layers, width, heads, feed_forward = SIZES[options.size]
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer),
            num_hidden_layers=layers,
            hidden_size=width,
            num_attention_heads=heads,
            intermediate_size=feed_forward,
            max_position_embeddings=CONTEXT,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    found = pieces(documents, options.characters, options.seed)
    rows = Dataset.from_list([{**row, "length": len(row["text"])} for row in found])
    masker = bert_wwm(MaskVocabulary.from_tokenizer(tokenizer), seed=options.seed)
    collator = DataCollatorForWholeWordMasking(tokenizer, masker, max_length=PIECE + 2)
    print(f"{model.num_parameters():,} parameters, {len(rows):,} pieces")
    ours = optimizer_and_schedule(model, options, math.ceil(len(rows) / options.batch_size))
    Trainer(model, arguments, collator, rows, optimizers=ours).train()
    model.save_pretrained(options.output_dir)
    tokenizer.save_pretrained(options.output_dir)


if __name__ == "__main__":
    main()

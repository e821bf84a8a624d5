r"""A peer of the size of `tiny`: Transformers' BERT over characters, pre-trained on the same corpus.

python benchmarks/character_bert.py --corpus "$CHINESE_MODERNBERT_DATA/corpus/train-*.jsonl.gz" \
    --characters 15000000 --output_dir FOLDER

Four layers, 128 wide, two heads, feed-forward of 384 (as many weights in a block as our gated 256), a WordPiece
vocabulary in which every Chinese character stands alone, whole words masked at 15 % in a plain Trainer. Documents come
in an order drawn with the seed and are cut into pieces of at most 254 tokens, until the characters are used up.
"""

import argparse
import random
from collections.abc import Iterator

from datasets import Dataset
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast, Trainer, TrainingArguments, set_seed

from chinese_modernbert.tokenization.documents import read_documents
from chinese_modernbert.trainers.masking.collator import DataCollatorForWholeWordMasking
from chinese_modernbert.trainers.masking.corruption import MaskVocabulary
from chinese_modernbert.trainers.masking.presets import bert_wwm

PIECE = 254
CONTEXT = 512


def train_tokenizer(documents: list[str], vocab_size: int, folder: str) -> BertTokenizerFast:
    backend = BertWordPieceTokenizer(lowercase=True)
    backend.train_from_iterator(documents, vocab_size=vocab_size, min_frequency=2, limit_alphabet=vocab_size - 1_000)
    backend.save_model(folder)
    return BertTokenizerFast(f"{folder}/vocab.txt", do_lower_case=True, model_max_length=CONTEXT)


def pieces(documents: list[str], characters: int) -> Iterator[dict[str, str]]:
    used = 0
    for document in documents:
        for start in range(0, len(document), PIECE):
            piece = document[start : start + PIECE]
            used += len(piece)
            yield {"text": piece}
            if used >= characters:
                return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", nargs="+", required=True)
    parser.add_argument("--characters", type=int, required=True)
    parser.add_argument("--vocab_size", type=int, default=8_192)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output_dir", required=True)
    options = parser.parse_args()

    documents = [document.text for document in read_documents(options.corpus)]
    random.Random(options.seed).shuffle(documents)
    arguments = TrainingArguments(
        options.output_dir,
        num_train_epochs=1,
        per_device_train_batch_size=16,
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
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=384,
            max_position_embeddings=CONTEXT,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    rows = Dataset.from_list([{**row, "length": len(row["text"])} for row in pieces(documents, options.characters)])
    masker = bert_wwm(MaskVocabulary.from_tokenizer(tokenizer), seed=options.seed)
    collator = DataCollatorForWholeWordMasking(tokenizer, masker, max_length=PIECE + 2)
    Trainer(model, arguments, collator, rows).train()
    model.save_pretrained(options.output_dir)
    tokenizer.save_pretrained(options.output_dir)


if __name__ == "__main__":
    main()

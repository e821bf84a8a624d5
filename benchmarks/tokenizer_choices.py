"""What each choice of the tokenizer does: the model, merges across words, digits, the alphabet, the sample.

CHINESE_MODERNBERT_DATA=... python benchmarks/tokenizer_choices.py [--share 0.1] [--vocab_size 32768]

Every row is trained on the same sample of the training text and measured on the whole validation text, simplified and
traditional sources apart. Unigram and WordPiece get the same words (cut by the segmenter) and the same number of
entries; they have no byte fallback, so their unknown tokens are counted.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from chinese_modernbert.tokenization import TextDocument, load_segmenter, read_documents
from chinese_modernbert.tokenization.diagnostics import inspect_tokenizer
from chinese_modernbert.tokenization.loading import wrap_backend
from chinese_modernbert.tokenization.normalization import width_normalizer
from chinese_modernbert.tokenization.pre_tokenization import SPECIAL_TOKENS, build_pre_tokenizer
from chinese_modernbert.tokenization.train_bpe import TokenizerArguments, repeated_words, tokenizer_from_counts
from chinese_modernbert.tokenization.word_counts import (
    WORD_END,
    WordCounts,
    choose_alphabet,
    count_words,
    sample_documents,
    split_at_rare_characters,
)
from tokenizer_frontier import split_by_script


def bpe(counts: WordCounts, **changes: object) -> PreTrainedTokenizerFast:
    return tokenizer_from_counts(counts, TokenizerArguments(**changes))  # pyright: ignore[reportArgumentType]


def other_model(model: str, counts: WordCounts, vocab_size: int, alphabet_size: int) -> PreTrainedTokenizerFast:
    """Return a Unigram or WordPiece tokenizer of the tokenizers library, trained on the same counted words."""
    alphabet = choose_alphabet(counts.words, alphabet_size)
    words = split_at_rare_characters(counts.words, alphabet)
    common = {"vocab_size": vocab_size, "special_tokens": list(SPECIAL_TOKENS), "show_progress": False}
    if model == "Unigram":
        backend = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(**common, initial_alphabet=alphabet, unk_token="[UNK]", max_piece_length=16)
    else:
        backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        trainer = trainers.WordPieceTrainer(**common, initial_alphabet=alphabet, limit_alphabet=2 * alphabet_size)
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(WORD_END), "removed")
    backend.train_from_iterator(repeated_words(words), trainer)
    backend.normalizer = width_normalizer()
    backend.pre_tokenizer = build_pre_tokenizer()
    return wrap_backend(backend)


def measure(name: str, train: Callable[[], PreTrainedTokenizerFast], groups: tuple[list[TextDocument], ...]) -> None:
    start = time.perf_counter()
    tokenizer = train()
    seconds = time.perf_counter() - start
    rows = [inspect_tokenizer(tokenizer, load_segmenter(), group).total for group in groups]
    cells = [
        f"{row.characters_per_token:.4f} | {100 * row.share('crossing_tokens'):.2f} | "
        f"{100 * row.share('byte_tokens'):.3f} | {100 * row.share('unknown_tokens'):.3f}"
        for row in rows
    ]
    print(f"| {name} | {len(tokenizer):,} | {' | '.join(cells)} | {seconds:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.1, help="share of the training documents, stratified")
    parser.add_argument("--vocab_size", type=int, default=32_768)
    options = parser.parse_args()
    corpus, size = Path(os.environ["CHINESE_MODERNBERT_DATA"]) / "corpus", options.vocab_size

    def counted(share: float, segmenter: str = "rjieba", digits: int = 3) -> WordCounts:
        documents = sample_documents(read_documents([corpus / "train-*.jsonl.gz"]), share)
        chosen = None if segmenter == "none" else load_segmenter(segmenter)
        return count_words((document.text for document in documents), chosen, digits, with_pairs=chosen is not None)

    words = counted(options.share)
    groups = split_by_script(list(read_documents([corpus / "validation.jsonl.gz"], source_field="source")))
    columns = "chars/token | crossing % | bytes % | unknown %"
    print(f"| choice | entries | simplified: {columns} | traditional: {columns} | training s |")
    print("| " + "--- | " * 11)
    rows: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
        "BPE inside words, 200 across (the shipped choice)": lambda: bpe(words, vocab_size=size, cross_word_tokens=200),
        "BPE inside words": lambda: bpe(words, vocab_size=size),
        "Unigram inside words": lambda: other_model("Unigram", words, size, 7_500),
        "WordPiece inside words": lambda: other_model("WordPiece", words, size, 7_500),
        "BPE, free merges": lambda: bpe(counted(options.share, "none"), vocab_size=size, segmenter="none"),
        "BPE inside words, digits one by one": lambda: bpe(
            counted(options.share, digits=1), vocab_size=size, digits_per_token=1
        ),
        "BPE inside words, 6,500 characters": lambda: bpe(words, vocab_size=size, limit_alphabet=6_500),
        "BPE inside words, 16,384 entries": lambda: bpe(words, vocab_size=16_384),
        "BPE inside words, 49,152 entries": lambda: bpe(words, vocab_size=49_152),
        "BPE inside words, 15 % sample": lambda: bpe(counted(0.15), vocab_size=size),
        "BPE inside words, everything": lambda: bpe(counted(1.0), vocab_size=size),
    }
    for name, train in rows.items():
        measure(name, train, groups)


if __name__ == "__main__":
    main()

"""Characters per token against word-border crossings, over vocabulary sizes and numbers of cross-word entries.

With the embedding's share of the parameters at each size.

CHINESE_MODERNBERT_DATA=... python benchmarks/tokenizer_frontier.py [--alphabet 7500] [--share 1.0]

A smaller BPE vocabulary of one corpus and alphabet is a prefix of a larger one, so a single training gives all sizes.
"""

import argparse
import os
from pathlib import Path

import torch

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.tokenization import TextDocument, load_segmenter, read_documents
from chinese_modernbert.tokenization.diagnostics import TextCounts, inspect_tokenizer
from chinese_modernbert.tokenization.loading import wrap_backend
from chinese_modernbert.tokenization.pre_tokenization import build_backend
from chinese_modernbert.tokenization.train_bpe import TokenizerArguments, cross_word_merges, train_merges
from chinese_modernbert.tokenization.word_counts import WordCounts, count_words, sample_documents

SIZES = (16_384, 24_576, 32_768, 49_152)
CROSS_WORD_ENTRIES = (0, 100, 200, 300, 500, 1_000)
DEFAULT_SIZE = 32_768
TRADITIONAL_SOURCES = ("wiki_drcd", "law_tw")


def shrink(
    vocabulary: dict[str, int], merges: list[tuple[str, str]], size: int, counts: WordCounts, n_crossing: int
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return the vocabulary of `size` entries, the last `n_crossing` of them across words, and its merges."""
    kept = {entry: index for entry, index in vocabulary.items() if index < size - n_crossing}
    kept_merges = [pair for pair in merges if "".join(pair) in kept]
    args = TokenizerArguments(vocab_size=size, cross_word_tokens=n_crossing)
    added = cross_word_merges(counts.pairs, kept, args)
    for first, second in added:
        kept[first + second] = len(kept)
    return kept, kept_merges + added


def split_by_script(documents: list[TextDocument]) -> tuple[list[TextDocument], list[TextDocument]]:
    simplified = [document for document in documents if document.source not in TRADITIONAL_SOURCES]
    return simplified, [document for document in documents if document.source in TRADITIONAL_SOURCES]


def print_frontier(
    vocabulary: dict[str, int], merges: list[tuple[str, str]], counts: WordCounts, documents: list[TextDocument]
) -> None:
    segmenter = load_segmenter()
    simplified, traditional = split_by_script(documents)
    print("| entries | across words | chars/token | crossing % | bytes % | traditional | bytes % | unknown |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for size in SIZES:
        for n_crossing in CROSS_WORD_ENTRIES if size == DEFAULT_SIZE else (0, 300):
            tokenizer = wrap_backend(build_backend(*shrink(vocabulary, merges, size, counts, n_crossing)))
            rows: list[TextCounts] = [
                inspect_tokenizer(tokenizer, segmenter, group).total for group in (simplified, traditional)
            ]
            first, second = rows
            print(
                f"| {size:,} | {n_crossing} | {first.characters_per_token:.4f} | "
                f"{100 * first.share('crossing_tokens'):.2f} | {100 * first.share('byte_tokens'):.3f} | "
                f"{second.characters_per_token:.4f} | {100 * second.share('byte_tokens'):.3f} | "
                f"{first.unknown_tokens + second.unknown_tokens} |",
                flush=True,
            )


def embedding_share(preset: str, vocab_size: int) -> float:
    """Return the (tied) embedding's share of the parameters of a masked-language model, in percent."""
    with torch.device("meta"):
        config = ChineseModernBertConfig.preset(preset, vocab_size=vocab_size)
        n_parameters = sum(weight.numel() for weight in ChineseModernBertForMaskedLM(config).parameters())
    return 100 * vocab_size * config.hidden_size / n_parameters


def print_embedding_shares() -> None:
    print("\n| entries | embedding, % of `base` | % of `large` |\n| --- | --- | --- |")
    for size in SIZES:
        print(f"| {size:,} | {embedding_share('base', size):.1f} | {embedding_share('large', size):.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alphabet", type=int, default=7_500)
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    corpus = Path(os.environ["CHINESE_MODERNBERT_DATA"]) / "corpus"
    documents = sample_documents(read_documents([corpus / "train-*.jsonl.gz"]), options.share)
    counts = count_words((document.text for document in documents), load_segmenter(), with_pairs=True)
    args = TokenizerArguments(vocab_size=max(SIZES), limit_alphabet=options.alphabet)
    validation = list(read_documents([corpus / "validation.jsonl.gz"], source_field="source"))
    print_embedding_shares()
    print_frontier(*train_merges(counts.words, args), counts, validation)


if __name__ == "__main__":
    main()

"""Training the BPE tokenizer on words cut by a segmenter, so that merges stay inside words.

The segmenter is needed here only: the saved file holds stock components, and encoding treats a Han run as one
pre-token, to which merges learned inside words apply.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ..runtime.files import new_output_folder
from .arguments import FIXED_TOKENS, TokenizerArguments
from .documents import read_documents
from .loading import TOKENIZER_FILE, save_tokenizer, wrap_backend
from .pre_tokenization import (
    BYTE_TOKENS,
    SPECIAL_TOKENS,
    build_backend,
)
from .word_counts import WORD_END, WordCounts, choose_alphabet, count_words, sample_documents, split_at_rare_characters
from .word_segmentation import load_segmenter

logger = logging.getLogger(__name__)

_REPEATS_PER_LINE = 10_000


def train_tokenizer(texts: Iterable[str], args: TokenizerArguments) -> PreTrainedTokenizerFast:
    """Return a tokenizer trained on `texts`, read once and never all in memory; same input, same tokenizer.

    Raises:
        ValueError: If a text holds a lone surrogate, if there is no text, or if the corpus allows fewer tokens than
            `args.vocab_size`.
    """
    segmenter = None if args.segmenter == "none" else load_segmenter(args.segmenter, args.user_dictionary)
    counts = count_words(texts, segmenter, args.digits_per_token, with_pairs=args.cross_word_tokens > 0)
    return tokenizer_from_counts(counts, args)


def tokenizer_from_counts(counts: WordCounts, args: TokenizerArguments) -> PreTrainedTokenizerFast:
    """Return the tokenizer whose merges are learned from counted words (see `train_tokenizer`)."""
    vocabulary, merges = train_merges(counts.words, args)
    added = cross_word_merges(counts.pairs, vocabulary, args)
    for first, second in added:
        vocabulary[first + second] = len(vocabulary)
    n_tokens = len(vocabulary)
    if n_tokens < args.vocab_size:
        raise ValueError(
            f"vocab_size={args.vocab_size} is more than this corpus allows: {n_tokens} tokens were possible "
            f"(pairs seen at least {args.min_frequency} times); give more text or a vocab_size of at most {n_tokens}"
        )
    return wrap_backend(build_backend(vocabulary, merges + added, args.digits_per_token))


def train_merges(words: Counter[str], args: TokenizerArguments) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return vocabulary and merges that stay inside `words`."""
    n_tokens = args.vocab_size - args.cross_word_tokens
    size = args.alphabet_size
    while True:
        alphabet = choose_alphabet(words, size)
        model = _run_trainer(split_at_rare_characters(words, alphabet), alphabet, n_tokens, args)
        shortage = n_tokens - len(model["vocab"])
        # A small corpus runs out of pairs before it runs out of characters: give the free tokens to characters.
        if shortage <= 0 or args.limit_alphabet is not None or len(alphabet) < size:
            return model["vocab"], [(first, second) for first, second in model["merges"]]
        size += shortage


def cross_word_merges(
    pairs: Counter[tuple[str, str]], vocabulary: Mapping[str, int], args: TokenizerArguments
) -> list[tuple[str, str]]:
    """Return the most frequent pairs of neighbouring words that both have a token, most frequent first.

    They are merged last, after everything inside words, so they never change how a word alone is cut.
    """
    chosen: dict[str, tuple[str, str]] = {}
    for (first, second), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0])):
        if len(chosen) == args.cross_word_tokens or count < args.min_frequency:
            break
        joined = first + second
        is_known = first in vocabulary and second in vocabulary
        if is_known and joined not in vocabulary and len(joined) <= args.max_token_length:
            chosen.setdefault(joined, (first, second))
    return list(chosen.values())


def _run_trainer(words: Counter[str], alphabet: list[str], vocab_size: int, args: TokenizerArguments) -> dict[str, Any]:
    """Return the trained BPE model as the plain data of its JSON."""
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=args.min_frequency,
        special_tokens=[*SPECIAL_TOKENS, *BYTE_TOKENS],
        initial_alphabet=alphabet,
        max_token_length=args.max_token_length,
        show_progress=False,
    )
    smallest = FIXED_TOKENS + len(alphabet)
    if vocab_size < smallest:
        raise ValueError(
            f"vocab_size={args.vocab_size} less cross_word_tokens={args.cross_word_tokens} is below special tokens, "
            f"bytes and alphabet together ({smallest}); raise it or lower limit_alphabet"
        )
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD_END), "removed")
    logger.info("learning merges from %d different words", len(words))
    tokenizer.train_from_iterator(repeated_words(words), trainer)
    return json.loads(tokenizer.to_str())["model"]


def repeated_words(words: Counter[str]) -> Iterator[str]:
    """Yield every word as often as it was counted, in lines of bounded length."""
    line: list[str] = []
    for word, count in sorted(words.items()):
        while count > 0:
            repeats = min(count, _REPEATS_PER_LINE)
            line.extend([word] * repeats)
            count -= repeats
            if len(line) >= _REPEATS_PER_LINE:
                yield WORD_END.join(line)
                line = []
    if line:
        yield WORD_END.join(line)


def run_tokenizer_training(args: TokenizerArguments) -> Path:
    """Train on the files of `args.corpus`, save into `args.output_dir` and return that folder.

    Raises:
        FileExistsError: If the folder is not empty and `args.overwrite` is off.
        FileNotFoundError: If a corpus path is missing.
        ValueError: See `train_tokenizer` and `read_documents`.
    """
    with new_output_folder(args.output_dir, args.overwrite, marker=TOKENIZER_FILE) as folder:
        documents = sample_documents(read_documents(args.corpus, args.text_field), args.sample_share, args.seed)
        save_tokenizer(train_tokenizer((document.text for document in documents), args), folder)
    return Path(args.output_dir)

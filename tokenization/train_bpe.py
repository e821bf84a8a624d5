"""Training the BPE tokenizer on words cut by a segmenter, so that merges stay inside words.

The segmenter is needed here only: the saved file holds stock components, and encoding treats a Han run as one
pre-token, to which merges learned inside words apply.
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from .documents import read_documents
from .loading import TOKENIZER_FILE, save_tokenizer, wrap_backend
from .normalization import check_encodable, fold_width
from .output_folder import new_output_folder
from .pre_tokenization import (
    BYTE_TOKENS,
    DIGITS_PER_TOKEN,
    HAN,
    SPECIAL_TOKENS,
    build_backend,
    build_pre_tokenizer,
)
from .word_segmentation import WordSegmenter, load_segmenter

logger = logging.getLogger(__name__)

FIXED_ENTRIES = len(SPECIAL_TOKENS) + len(BYTE_TOKENS)

WORD_END = "\ufdd0"
"""A Unicode noncharacter that no interchanged text may hold; it parts words while training."""

DEFAULT_ALPHABET = 6_500
"""Characters that get an entry at 32,768 entries. Source: our default, measured on mixed Chinese text."""

MAX_COUNTED_WORDS = 4_000_000
"""Distinct words kept while counting; beyond it those seen once are forgotten, which bounds the memory."""

_REPEATS_PER_LINE = 10_000


@dataclass
class TokenizerArguments:
    """What to train a tokenizer on, and how."""

    corpus: list[str] = field(default_factory=list)
    """Files or folders of text (.txt, .jsonl, .parquet)."""
    output_dir: str = "tokenizer"
    """Folder for the tokenizer."""
    overwrite_output_dir: bool = False
    """Replace an existing tokenizer folder."""
    text_field: str = "text"
    """Field of the text in JSON lines and Parquet files."""
    vocab_size: int = 32_768
    """Entries with special tokens and bytes; a multiple of 64 suits the hardware."""
    segmenter: str = "rjieba"
    """Word segmenter: rjieba, jieba, lexicon, or none for free merges inside Han runs."""
    user_dictionary: str | None = None
    """File with one word a line for the segmenter."""
    limit_alphabet: int | None = None
    """Most characters with an entry; default 6,500, in a small vocabulary a third of it or what merges leave."""
    min_frequency: int = 2
    """Least count of a pair to be merged."""
    max_token_length: int = 16
    """Longest entry in characters."""
    digits_per_token: int = DIGITS_PER_TOKEN
    """Longest group of digits."""

    def __post_init__(self) -> None:
        if self.vocab_size <= FIXED_ENTRIES:
            raise ValueError(
                f"vocab_size={self.vocab_size} is too small: special tokens and bytes take {FIXED_ENTRIES} entries."
            )
        for name in ("min_frequency", "max_token_length", "digits_per_token"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1.")
        if self.limit_alphabet is not None and not 0 < self.limit_alphabet <= self.vocab_size - FIXED_ENTRIES:
            raise ValueError(
                f"limit_alphabet={self.limit_alphabet} does not fit vocab_size={self.vocab_size}: special tokens and "
                f"bytes leave {self.vocab_size - FIXED_ENTRIES} entries; raise vocab_size or lower limit_alphabet."
            )

    @property
    def alphabet_size(self) -> int:
        """Most characters with an entry of their own."""
        if self.limit_alphabet is not None:
            return self.limit_alphabet
        return min(DEFAULT_ALPHABET, max((self.vocab_size - FIXED_ENTRIES) // 3, 1))


def train_tokenizer(texts: Iterable[str], args: TokenizerArguments) -> PreTrainedTokenizerFast:
    """Return a tokenizer trained on `texts`, read once and never held together; same input, same tokenizer.

    Raises:
        ValueError: If a text holds a lone surrogate, if there is no text, or if the corpus allows fewer entries than
            `args.vocab_size`.
    """
    segmenter = None if args.segmenter == "none" else load_segmenter(args.segmenter, args.user_dictionary)
    counts = count_words(texts, segmenter, args.digits_per_token)
    return tokenizer_from_counts(counts, args)


def tokenizer_from_counts(counts: Counter[str], args: TokenizerArguments) -> PreTrainedTokenizerFast:
    """Return the tokenizer whose merges are learned from words and their counts (see `train_tokenizer`)."""
    size = args.alphabet_size
    while True:
        alphabet = choose_alphabet(counts, size)
        trained = _train_merges(_split_at_rare_characters(counts, alphabet), alphabet, args)
        model = json.loads(trained.to_str())["model"]
        n_entries = len(model["vocab"])
        shortage = args.vocab_size - n_entries
        # A small corpus runs out of pairs before it runs out of characters: give those the entries that are left.
        if shortage <= 0 or args.limit_alphabet is not None or len(alphabet) < size:
            break
        size += shortage
    if shortage > 0:
        raise ValueError(
            f"vocab_size={args.vocab_size} is more than this corpus allows: {n_entries} entries were possible "
            f"(pairs seen at least {args.min_frequency} times); give more text or a vocab_size of at most {n_entries}."
        )
    merges = [(first, second) for first, second in model["merges"]]
    return wrap_backend(build_backend(model["vocab"], merges, args.digits_per_token))


def count_words(
    texts: Iterable[str], segmenter: WordSegmenter | None, digits_per_token: int = DIGITS_PER_TOKEN
) -> Counter[str]:
    """Return how often each word occurs, where a word is a pre-token cut further by the segmenter inside Han runs.

    Args:
        texts: Documents; each is width-folded first.
        segmenter: None leaves Han runs whole.
        digits_per_token: Longest group of digits, default 3.

    Raises:
        ValueError: If a text holds a lone surrogate or there is no text at all.
    """
    pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(WORD_END, "removed"), build_pre_tokenizer(digits_per_token)]
    )
    counts: Counter[str] = Counter()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("counting words", total=None)
        for number, text in enumerate(texts, start=1):
            check_encodable(text, f"text {number}")
            marked = _mark_words(fold_width(text).replace(WORD_END, " "), segmenter)
            counts.update([word for word, _ in pre_tokenizer.pre_tokenize_str(marked)])
            if len(counts) > MAX_COUNTED_WORDS:
                counts = Counter({word: count for word, count in counts.items() if count > 1})
            progress.update(task, advance=1, description=f"counting words, {number:,} documents")
    if not counts:
        raise ValueError("There is no text to train on; give at least one document.")
    return counts


_BORDER_NOT_INSIDE_HAN = re.compile(f"{WORD_END}(?![{HAN}])|(?<![{HAN}]){WORD_END}")


def _mark_words(text: str, segmenter: WordSegmenter | None) -> str:
    """Return `text` with `WORD_END` at the word borders between two Han characters; other borders are the pattern's."""
    if segmenter is None:
        return text
    return _BORDER_NOT_INSIDE_HAN.sub("", WORD_END.join(segmenter.cut(text)))


def choose_alphabet(counts: Counter[str], size: int) -> list[str]:
    """Return the `size` most frequent characters, ties in the order of their code points."""
    characters: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            characters[character] += count
    ranked = sorted(characters.items(), key=lambda item: (-item[1], item[0]))
    return sorted(character for character, _ in ranked[:size])


def _split_at_rare_characters(counts: Counter[str], alphabet: list[str]) -> Counter[str]:
    """Return the counts of the stretches inside the alphabet: the trainer would join what a rare character parts."""
    known = frozenset(alphabet)
    rare = re.compile("[^" + re.escape("".join(alphabet)) + "]+")
    parts: Counter[str] = Counter()
    for word, count in counts.items():
        if known.issuperset(word):
            parts[word] += count
        else:
            for part in rare.split(word):
                if part:
                    parts[part] += count
    return parts


def _train_merges(counts: Counter[str], alphabet: list[str], args: TokenizerArguments) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=args.vocab_size,
        min_frequency=args.min_frequency,
        special_tokens=[*SPECIAL_TOKENS, *BYTE_TOKENS],
        initial_alphabet=alphabet,
        max_token_length=args.max_token_length,
        show_progress=False,
    )
    smallest = FIXED_ENTRIES + len(alphabet)
    if args.vocab_size < smallest:
        raise ValueError(
            f"vocab_size={args.vocab_size} is below special tokens, bytes and alphabet together ({smallest}); raise it "
            "or lower limit_alphabet."
        )
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD_END), "removed")
    logger.info("Learning merges from %d different words.", len(counts))
    tokenizer.train_from_iterator(_repeated_words(counts), trainer)
    return tokenizer


def _repeated_words(counts: Counter[str]) -> Iterator[str]:
    """Yield every word as often as it was counted, in lines of bounded length."""
    line: list[str] = []
    for word, count in sorted(counts.items()):
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
        FileExistsError: If the folder is not empty and `args.overwrite_output_dir` is off.
        FileNotFoundError: If a corpus path is missing.
        ValueError: See `train_tokenizer` and `read_documents`.
    """
    with new_output_folder(args.output_dir, args.overwrite_output_dir, marker=TOKENIZER_FILE) as folder:
        documents = read_documents(args.corpus, args.text_field)
        save_tokenizer(train_tokenizer((document.text for document in documents), args), folder)
    return Path(args.output_dir)

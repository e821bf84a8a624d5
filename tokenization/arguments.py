"""Options of the tokenizer commands, apart from the code that they start, so that `--help` is quick."""

from dataclasses import MISSING, dataclass

from ..runtime.options import argument
from .pre_tokenization import BYTE_TOKENS, DIGITS_PER_TOKEN, SPECIAL_TOKENS

FIXED_TOKENS = len(SPECIAL_TOKENS) + len(BYTE_TOKENS)

DEFAULT_ALPHABET = 7_500
"""Characters that get a token in a vocabulary of 32,768. Source: our default, measured on mixed Chinese text."""


@dataclass
class TokenizerArguments:
    """What to train a tokenizer on, and how."""

    corpus: list[str] = argument(
        list, "Text files, folders or patterns: .txt .jsonl(.gz/.zst/.xz/.bz2) .parquet.", group="Text"
    )
    text_field: str = argument("text", "Field of the text in JSON lines and Parquet files.")
    sample_share: float = argument(1.0, "Share of the documents to train on, the same for every source and length.")
    seed: int = argument(0, "Decides where the sample starts in every source and length.")
    segmenter: str = argument("rjieba", "rjieba, jieba, lexicon, or none for free merges inside Han runs.")
    user_dictionary: str | None = argument(None, "File with one word per line for the segmenter.")

    output_dir: str = argument("tokenizer", "Folder for the tokenizer.", group="Output")
    overwrite: bool = argument(False, "Replace an existing tokenizer folder.")

    vocab_size: int = argument(
        32_768, "Tokens, special ones and bytes included; a multiple of 64 suits the hardware.", group="Vocabulary"
    )
    limit_alphabet: int | None = argument(
        None, "Most characters with a token; null: 7,500, fewer in a small vocabulary."
    )
    min_frequency: int = argument(2, "Least count of a pair to be merged.")
    max_token_length: int = argument(16, "Longest token in characters.")
    digits_per_token: int = argument(DIGITS_PER_TOKEN, "Longest group of digits.")
    cross_word_tokens: int = argument(
        0, "Tokens for the most frequent pairs of neighbouring words, part of vocab_size."
    )

    def __post_init__(self) -> None:
        if self.vocab_size <= FIXED_TOKENS:
            raise ValueError(
                f"vocab_size={self.vocab_size} is too small: special tokens and bytes take {FIXED_TOKENS} tokens"
            )
        for name in ("min_frequency", "max_token_length", "digits_per_token"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if not 0 < self.sample_share <= 1:
            raise ValueError(f"sample_share={self.sample_share} must be above 0 and at most 1")
        if not 0 <= self.cross_word_tokens < self.vocab_size - FIXED_TOKENS:
            raise ValueError(
                f"cross_word_tokens={self.cross_word_tokens} must be at least 0 and leave tokens of "
                f"vocab_size={self.vocab_size} for words"
            )
        if self.cross_word_tokens and self.segmenter == "none":
            raise ValueError("cross_word_tokens needs a segmenter: with 'none' merges cross word borders anyway")
        if self.limit_alphabet is not None and not 0 < self.limit_alphabet <= self.vocab_size - FIXED_TOKENS:
            raise ValueError(
                f"limit_alphabet={self.limit_alphabet} does not fit vocab_size={self.vocab_size}: special tokens and "
                f"bytes leave {self.vocab_size - FIXED_TOKENS} tokens; raise vocab_size or lower limit_alphabet"
            )

    @property
    def alphabet_size(self) -> int:
        """Most characters with a token of their own."""
        if self.limit_alphabet is not None:
            return self.limit_alphabet
        return min(DEFAULT_ALPHABET, max((self.vocab_size - FIXED_TOKENS) // 3, 1))


@dataclass
class ExtensionArguments:
    """Which tokenizer to extend, and with what."""

    tokenizer: str = argument(MISSING, "Folder of the tokenizer, or of a model with its tokenizer.")
    tokens: str = argument(MISSING, "Text file with one new token per line.")
    output_dir: str = argument("tokenizer-extended", "Folder for the extended tokenizer.")
    overwrite: bool = argument(False, "Replace an existing tokenizer folder.")


@dataclass
class TokenizerReportArguments:
    """Which tokenizers to measure on which text."""

    tokenizers: list[str] = argument(
        list, "Tokenizer folders or tokenizer.json files, measured side by side; none: the shipped one."
    )
    corpus: list[str] = argument(list, "Text files, folders or patterns.")
    output_dir: str = argument("tokenizer_report", "Folder for report.txt, report.json and report.png.")
    overwrite: bool = argument(False, "Replace an existing report folder.")
    text_field: str = argument("text", "Field of the text in JSON lines and Parquet files.")
    source_field: str | None = argument(None, "Field that names the source of a document; null: the file name.")
    segmenter: str = argument("rjieba", "Word segmenter that defines the borders.")
    user_dictionary: str | None = argument(None, "File with one word per line for the segmenter.")

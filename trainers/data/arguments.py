"""What `prepare` is asked to do, and the settings that decide the content of a shard."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from ...runtime.options import argument
from ...tokenization.loading import tokenizer_hash
from .filters import DocumentFilter, MinimumCharacters, MinimumHanShare
from .near_duplicates import ExactDuplicates

PACKAGE = __name__.partition(".")[0]


@dataclass
class PrepareArguments:
    """What `prepare` reads, how, and where it writes."""

    corpus: list[str] = argument(
        list, "Text files, folders or patterns: .txt .jsonl(.gz/.zst) .parquet.", group="Input and output"
    )
    tokenizer: str = argument("", "Folder of the tokenizer; if empty, the shipped one.")
    output_dir: str = argument("", "Folder for the shards.")
    overwrite: bool = argument(False, "Do finished work again instead of keeping it.")
    text_field: str = argument("text", "Field of the text in JSON lines, Parquet and data sets.")
    source_field: str | None = argument(None, "Field that names a document's source; null: file or data set.")
    max_documents: int | None = argument(None, "Read no more documents than this, for a trial.")

    dataset: str | None = argument(
        None, "Data set of the Hub, or a local folder, read as a stream.", group="Data set, instead of corpus"
    )
    dataset_config: str | None = argument(None, "Configuration of the data set.")
    dataset_split: str = argument("train", "Split of the data set.")
    dataset_revision: str | None = argument(None, "Commit or tag; a commit makes the run repeatable.")
    dataset_files: list[str] = argument(list, "Files to read; needed for the forms json, parquet, text.")

    segmenter: str = argument("rjieba", "Word segmenter: rjieba, jieba, lexicon or none.", group="Words and shards")
    user_dictionary: str | None = argument(None, "File with one word per line for the segmenter.")
    shard_characters: int = argument(8_000_000, "Characters of text in a shard.")
    prepare_workers: int = argument(2, "Processes; 0 works in this one.")

    minimum_characters: int = argument(
        0, "Drop documents with fewer characters, white space not counted.", group="Filters"
    )
    minimum_han_share: float = argument(0.0, "Drop documents with a smaller share of Han characters, from 0 to 1.")
    drop_exact_duplicates: bool = argument(False, "Keep the first of documents equal but for width and white space.")
    near_duplicate_similarity: float | None = argument(
        None, "Keep the first of documents that share this much of their 5-grams; 0.8 is usual. null: keep all."
    )

    def check(self) -> None:
        """Refuse missing or impossible values before any work.

        Raises:
            ValueError: If neither or both of corpus and dataset are given; see `check_output` for the rest.
        """
        if bool(self.corpus) == bool(self.dataset):
            given = "both corpus and dataset are" if self.corpus else "corpus is not"
            raise ValueError(
                f"{given} given; set one of corpus and dataset, in the recipe or with --corpus or --dataset"
            )
        if self.dataset_files and not self.dataset:
            raise ValueError("dataset_files is given without dataset; name its form, for example --dataset json")
        self.check_output()

    def check_output(self) -> None:
        """Refuse missing or impossible values of everything but the input.

        Raises:
            ValueError: For an empty tokenizer or folder, or numbers out of range.
        """
        for name in ("tokenizer", "output_dir"):
            if not getattr(self, name):
                raise ValueError(f"{name} is not given; set it in the recipe or with --{name}")
        if self.shard_characters < 1 or self.prepare_workers < 0:
            raise ValueError(
                f"shard_characters={self.shard_characters} must be positive and "
                f"prepare_workers={self.prepare_workers} not negative"
            )
        if self.max_documents is not None and self.max_documents < 1:
            raise ValueError(f"max_documents={self.max_documents} must be positive, or null for all")
        if self.minimum_characters < 0 or not 0 <= self.minimum_han_share <= 1:
            raise ValueError(
                f"minimum_characters={self.minimum_characters} must not be negative and "
                f"minimum_han_share={self.minimum_han_share} lie between 0 and 1"
            )


def build_filters(arguments: PrepareArguments, filters: Sequence[DocumentFilter]) -> list[DocumentFilter]:
    """Return the filters that are switched on, those of the caller after the cheap ones, duplicates last."""
    chosen: list[DocumentFilter] = []
    if arguments.minimum_characters:
        chosen.append(MinimumCharacters(arguments.minimum_characters))
    if arguments.minimum_han_share:
        chosen.append(MinimumHanShare(arguments.minimum_han_share))
    chosen.extend(filters)
    if arguments.drop_exact_duplicates:
        chosen.append(ExactDuplicates())
    return chosen


def shard_settings(
    arguments: PrepareArguments, tokenizer: PreTrainedTokenizerFast, filters: Sequence[DocumentFilter]
) -> dict[str, Any]:
    """Return everything that decides the content of the shards, given the text."""
    dictionary = Path(arguments.user_dictionary).read_bytes() if arguments.user_dictionary else b""
    names = ("minimum_characters", "minimum_han_share", "drop_exact_duplicates", "near_duplicate_similarity")
    return {
        "tokenizer_hash": tokenizer_hash(tokenizer),
        "segmenter": arguments.segmenter,
        "user_dictionary_sha256": hashlib.sha256(dictionary).hexdigest(),
        "text_field": arguments.text_field,
        "source_field": arguments.source_field,
        "shard_characters": arguments.shard_characters,
        **{name: getattr(arguments, name) for name in names},
        "filters": [_name_of(one) for one in filters],
    }


def _name_of(one: DocumentFilter) -> str:
    named: Any = one if hasattr(one, "__qualname__") else type(one)
    return filter_name(f"{named.__module__}.{named.__qualname__}")


def filter_name(path: str) -> str:
    """Return the name of a filter in the settings: the class alone for ours, so that its module may move."""
    return path.rpartition(".")[2] if path.startswith(f"{PACKAGE}.") else path

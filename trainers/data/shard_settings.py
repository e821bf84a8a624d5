"""The settings that decide the content of a shard, and the filters that `prepare` switches on."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from ...runtime.training_arguments import deciding_options
from ...tokenization.loading import tokenizer_hash
from .arguments import PrepareArguments
from .filters import DocumentFilter, MinimumCharacters, MinimumHanShare
from .near_duplicates import ExactDuplicates

PACKAGE = __name__.partition(".")[0]
# What decides which text is read, which is compared itself, shard by shard; the dictionary is compared by content.
READ_AGAIN = (
    *("corpus", "dataset", "dataset_config", "dataset_split", "dataset_revision", "dataset_files", "max_documents"),
    *("user_dictionary", "prepare_workers"),
)
ADDED = ("lines", "folder_sources")


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
    """Return everything that decides the content of the shards, given the text.

    A manifest without one of `ADDED` was read without it, and stays as it is.
    """
    dictionary = Path(arguments.user_dictionary).read_bytes() if arguments.user_dictionary else b""
    options = deciding_options(arguments, (*READ_AGAIN, *(name for name in ADDED if not getattr(arguments, name))))
    return {
        "tokenizer_hash": tokenizer_hash(tokenizer),
        "user_dictionary_sha256": hashlib.sha256(dictionary).hexdigest(),
        **options,
        "filters": [_name_of(one) for one in filters],
    }


def _name_of(one: DocumentFilter) -> str:
    named: Any = one if hasattr(one, "__qualname__") else type(one)
    return filter_name(f"{named.__module__}.{named.__qualname__}")


def filter_name(path: str) -> str:
    """Return the name of a filter in the settings: the class alone for ours, so that its module may move."""
    return path.rpartition(".")[2] if path.startswith(f"{PACKAGE}.") else path

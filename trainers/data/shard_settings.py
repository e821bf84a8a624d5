"""The settings that decide the content of a shard, and the filters that `prepare` switches on."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from ...tokenization.loading import tokenizer_hash
from .arguments import PrepareArguments
from .filters import DocumentFilter, MinimumCharacters, MinimumHanShare
from .near_duplicates import ExactDuplicates

PACKAGE = __name__.partition(".")[0]


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
        # A manifest without them was read without them.
        **{name: True for name in ("lines", "folder_sources") if getattr(arguments, name)},
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

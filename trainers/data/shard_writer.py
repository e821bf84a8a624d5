"""One shard as a task: from its documents to its files and its manifest entry, restartable, in any process."""

import json
import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from ...runtime.files import make_folder, read_record, write_text_atomically
from ...runtime.folder_lock import is_occupied
from ...runtime.settings import differing_settings
from ...tokenization.loading import load_tokenizer
from ...tokenization.word_segmentation import WordSegmenter, load_segmenter
from ...tokenization.word_starts import encode_documents
from .filters import DocumentCounts, add_counts
from .shard_settings import filter_name
from .shards import ENTRY_SHAPE, FORMAT, MANIFEST, TokenDocument, check_shard, id_dtype, write_shard

logger = logging.getLogger(__name__)

SETTINGS = "prepare.json"
PARTS = "rank-*.json"
"""What the tasks of a cluster write next to their shards, see `datatrove_steps`."""
ENCODING_BATCH = 256


@dataclass(frozen=True)
class ShardTask:
    """The documents of one shard and how to encode them; picklable."""

    name: str
    folder: Path
    tokenizer: str
    segmenter: str
    user_dictionary: str | None
    texts: tuple[str, ...]
    sources: tuple[str, ...]
    fingerprint: str


def open_folder(folder: Path, settings: Mapping[str, Any], overwrite: bool) -> dict[str, Any]:
    """Make the folder or check that it continues a run of the same settings.

    Returns:
        The settings to work with: where a run is continued, filters are named as that run named them, because the
        fingerprints of its shards hold those names.

    Raises:
        FileExistsError: If the folder holds something that prepare did not write, or shards of other settings.
    """
    if folder.is_file():
        raise FileExistsError(f"{folder} is a file; give output_dir another name")
    if is_occupied(folder):
        if not (folder / SETTINGS).is_file():
            raise FileExistsError(f"{folder} is not empty and not a prepared corpus; give output_dir another name")
        old = read_record(folder / SETTINGS, {}, "give output_dir another name")
        if not overwrite and "filters" in old and list(map(filter_name, old["filters"])) == settings["filters"]:
            settings = {**settings, "filters": old["filters"]}
        if not overwrite and (different := differing_settings(old, settings)):
            raise FileExistsError(
                f"{folder} was prepared with other settings: {'; '.join(different)}; add --overwrite to replace it"
            )
        if overwrite:
            (folder / MANIFEST).unlink(missing_ok=True)
            remove_stale_files(folder, set())
            for part in folder.glob(PARTS):
                part.unlink()
    make_folder(folder)
    write_text_atomically(folder / SETTINGS, json.dumps(settings, indent=1) + "\n")
    return dict(settings)


def remove_stale_files(folder: Path, keep: set[str]) -> None:
    """Delete shard files that belong to no shard of this run, and the partial files of a killed process."""
    for path in folder.glob("shard-*"):
        if path.suffix == ".partial" or path.name.split(".")[0] not in keep:
            path.unlink()


def finish_shard(task: ShardTask) -> dict[str, Any]:
    """Return the manifest entry of a shard, which an earlier run finished from the same text or this call encodes."""
    return finished_entry(task) or encode_shard(task)


def finished_entry(task: ShardTask) -> dict[str, Any] | None:
    """Return the entry of a shard that an earlier run finished from the same text, or None if there is none."""
    path = task.folder / f"{task.name}.json"
    if not path.is_file():
        return None
    try:
        entry = read_record(path, {"fingerprint": str, **ENTRY_SHAPE}, "it is written again")
        if entry["fingerprint"] != task.fingerprint:
            return None
        check_shard(task.folder, entry)
    except ValueError as error:
        logger.warning("%s is encoded again: %s", task.name, error)
        return None
    return entry


def encode_shard(task: ShardTask) -> dict[str, Any]:
    """Encode the documents of one shard and write its files; the entry is written last, as the sign of completion.

    Raises:
        OSError: If a file cannot be written; The message names the shard and the free space.
    """
    tokenizer, segmenter = _encoders(task.tokenizer, task.segmenter, task.user_dictionary)
    numbers_of = {name: number for number, name in enumerate(sorted(set(task.sources)))}
    documents: list[TokenDocument] = []
    numbers: list[int] = []
    sources = {name: {"documents": 0, "tokens": 0, "characters": 0} for name in numbers_of}
    for first in range(0, len(task.texts), ENCODING_BATCH):
        texts = task.texts[first : first + ENCODING_BATCH]
        encoded = encode_documents(tokenizer, segmenter, texts)
        for text, name, document in zip(texts, task.sources[first : first + ENCODING_BATCH], encoded, strict=True):
            if len(document.input_ids) == 0:
                continue
            documents.append(TokenDocument(document.input_ids, document.word_starts))
            numbers.append(numbers_of[name])
            counts = {"documents": 1, "tokens": len(document.input_ids), "characters": len(text)}
            sources[name] = {key: sources[name][key] + value for key, value in counts.items()}
    extra = {"sources": sources, "fingerprint": task.fingerprint}
    without_tokens = len(task.texts) - len(documents)
    if without_tokens:
        extra["dropped"] = {"no_token": without_tokens}
    return _write(task, documents, numbers, len(tokenizer), extra)


def _write(
    task: ShardTask,
    documents: Sequence[TokenDocument],
    numbers: Sequence[int],
    vocab_size: int,
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Write a shard and its entry. The manifest of an earlier run, which is no longer true, is deleted first."""
    try:
        (task.folder / MANIFEST).unlink(missing_ok=True)
        entry = {**write_shard(task.folder, task.name, documents, numbers, vocab_size), **extra}
        write_text_atomically(task.folder / f"{task.name}.json", json.dumps(entry, ensure_ascii=False) + "\n")
    except OSError as error:
        free = shutil.disk_usage(task.folder).free / 1e6
        raise OSError(
            f"{task.folder / task.name} cannot be written ({error}); {free:,.0f} MB are free there; "
            "finished shards are kept: make room and run the same command again"
        ) from error
    return entry


@lru_cache(maxsize=1)
def _encoders(
    tokenizer: str, segmenter: str, user_dictionary: str | None
) -> tuple[PreTrainedTokenizerFast, WordSegmenter]:
    """Load tokenizer and segmenter once per process."""
    return load_tokenizer(tokenizer), load_segmenter(segmenter, user_dictionary)


def write_manifest(
    folder: Path,
    entries: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    vocab_size: int,
    counts: Iterable[DocumentCounts],
) -> dict[str, Any]:
    """Join the entries of all shards, write the manifest and delete files that belong to no shard.

    Args:
        folder: folder of the shards
        entries: manifest entries of the shards, in order
        settings: what decides the content of the shards
        vocab_size: tokens of the tokenizer
        counts: what each stream of documents read and dropped

    Raises:
        ValueError: If there is no token at all.
    """
    counts = list(counts)
    totals: dict[str, dict[str, int]] = {}
    for entry in entries:
        for name, part in entry["sources"].items():
            total = totals.setdefault(name, dict.fromkeys(part, 0))
            totals[name] = {key: total[key] + value for key, value in part.items()}
    dropped = add_counts([*(one.dropped for one in counts), *(entry.get("dropped", {}) for entry in entries)])
    manifest = {
        "format": FORMAT,
        "tokenizer_hash": settings["tokenizer_hash"],
        "vocab_size": vocab_size,
        "dtype": id_dtype(vocab_size).name,
        "documents_read": sum(one.documents_read for one in counts),
        "dropped": dropped,
        "documents": sum(entry["documents"] for entry in entries),
        "tokens": sum(entry["tokens"] for entry in entries),
        "words": sum(entry["words"] for entry in entries),
        "configuration": dict(settings),
        "sources": totals,
        "shards": list(entries),
    }
    if manifest["tokens"] == 0:
        reasons = ", ".join(f"{reason}: {number}" for reason, number in dropped.items()) or "no document was read"
        raise ValueError(f"the corpus gives no token ({reasons}); give other text or softer filters")
    write_text_atomically(folder / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1) + "\n")
    remove_stale_files(folder, {entry["name"] for entry in entries})
    return manifest

"""Shards of token ids on disk: five flat files per shard, one manifest per folder, read through memory maps.

| file of a shard | content |
| --- | --- |
| `.ids.bin` | token ids of all documents in a row, without special tokens; uint16, or uint32 over 65,536 tokens |
| `.starts.bin` | one bit per token (numpy's packbits), 1 = the token starts a masking unit |
| `.offsets.bin` | uint64 [documents + 1], where each document starts in the ids |
| `.sources.bin` | uint16 [documents], number of the document's source among those of the shard's manifest entry |
| `.counts.bin` | int64 [vocabulary], how often each id occurs |
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...runtime.files import file_sha256, read_record, write_text_atomically

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
VERIFIED = "verified.json"
FORMAT = 1
KINDS = ("ids", "starts", "offsets", "sources", "counts")
ENTRY_SHAPE = {
    "name": str,
    "documents": int,
    "tokens": int,
    "words": int,
    "sources": {...: dict},
    "files": {kind: {"bytes": int, "sha256": str} for kind in KINDS},
}
MANIFEST_SHAPE = {"tokenizer_hash": str, "dtype": str, "sources": dict, "shards": [ENTRY_SHAPE]}


class TokenDocument(NamedTuple):
    """One document, or a part of one, as it is stored.

    Attributes:
        input_ids: uint16 or uint32 `[T]`, without special tokens
        word_starts: bool `[T]`, True where a token starts a masking unit
    """

    input_ids: np.ndarray
    word_starts: np.ndarray


def id_dtype(vocab_size: int) -> np.dtype:
    """Return uint16 where every id fits into it, else uint32."""
    return np.dtype(np.uint16 if vocab_size <= 2**16 else np.uint32)


def write_shard(
    folder: Path, name: str, documents: Sequence[TokenDocument], sources: Sequence[int], vocab_size: int
) -> dict[str, Any]:
    """Write the five files of a shard, each under a temporary name first.

    Args:
        folder: existing folder
        name: name of the shard, the stem of its files
        documents: documents in order; none is empty
        sources: number of each document's source
        vocab_size: tokens of the tokenizer

    Returns:
        The shard's entry in the manifest: name, documents, tokens, words, and size and hash of each file.
    """
    lengths = np.array([len(document.input_ids) for document in documents], dtype=np.uint64)
    ids = np.concatenate([d.input_ids for d in documents]) if documents else np.zeros(0)
    starts = np.concatenate([d.word_starts for d in documents]) if documents else np.zeros(0, bool)
    columns = {
        "ids": ids.astype(id_dtype(vocab_size)),
        "starts": np.packbits(starts),
        "offsets": np.concatenate([np.zeros(1, np.uint64), np.cumsum(lengths, dtype=np.uint64)]),
        "sources": np.array(sources, dtype=np.uint16),
        "counts": np.bincount(ids.astype(np.int64), minlength=vocab_size).astype(np.int64),
    }
    files = {kind: _write_column(folder / f"{name}.{kind}.bin", column) for kind, column in columns.items()}
    return {"name": name, "documents": len(documents), "tokens": len(ids), "words": int(starts.sum()), "files": files}


def _write_column(path: Path, column: np.ndarray) -> dict[str, Any]:
    """Write one file under a temporary name, rename it, and return its size and hash."""
    # The process number: a run that is still alive never writes into the file of the one that follows.
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        column.tofile(partial)
        description = {"bytes": partial.stat().st_size, "sha256": file_sha256(partial)}
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return description


def check_shard(folder: Path, entry: Mapping[str, Any], check_hash: bool = True) -> None:
    """Compare a shard's files with its manifest entry.

    Raises:
        ValueError: If a file is missing, has another size, or (with `check_hash`) other content.
    """
    for kind in KINDS:
        path = folder / f"{entry['name']}.{kind}.bin"
        recorded = entry["files"][kind]
        size = path.stat().st_size if path.exists() else -1
        if size != recorded["bytes"]:
            found = "is missing" if size < 0 else f"has {size} bytes, the manifest says {recorded['bytes']}"
            raise ValueError(
                f"{path} {found}; run prepare again with the same settings, which writes this shard alone again"
            )
        if check_hash and file_sha256(path) != recorded["sha256"]:
            raise ValueError(f"{path} has changed since it was written (other SHA-256); run prepare again")


def check_shards_once(folder: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Compare the hashes of all shards that were not compared since they were last touched.

    Files whose hashes agreed are remembered in `verified.json` next to the manifest, by size and times of change, so
    that only the first opening of a folder reads it whole. A copied file has another time of status change, so it is
    compared again. Where the folder is read-only, nothing is remembered and every opening compares.

    Raises:
        ValueError: If a file is missing or has changed.
    """
    path = folder / VERIFIED
    try:
        known = read_record(path, {}, "delete it")
    except (OSError, ValueError):
        known = {}
    for entry in entries:
        check_shard(folder, entry, check_hash=False)
    states = {entry["name"]: _file_states(folder, entry) for entry in entries}
    changed = [entry for entry in entries if known.get(entry["name"]) != states[entry["name"]]]
    if not changed:
        return
    logger.info("%s: comparing the hashes of %d of %d shards", folder, len(changed), len(entries))
    with ThreadPoolExecutor() as pool:  # hashing and reading both release the interpreter lock
        list(pool.map(lambda entry: check_shard(folder, entry), changed))
    try:
        write_text_atomically(path, json.dumps(states) + "\n")
    except OSError as error:
        logger.info("%s cannot be written (%s): the hashes will be compared again next time", path, error)


def _file_states(folder: Path, entry: Mapping[str, Any]) -> str:
    """Return a digest of the recorded hashes of a shard's files and of their sizes and times on disk."""
    digest = hashlib.sha256()
    for kind in KINDS:
        status = (folder / f"{entry['name']}.{kind}.bin").stat()
        recorded = entry["files"][kind]["sha256"]
        digest.update(f"{recorded} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n".encode())
    return digest.hexdigest()


class TokenShards:
    """A folder of shards as one random-access list of documents.

    Args:
        folder: folder that `run_prepare` wrote
        tokenizer_hash: if given, the shards must have been made with this tokenizer
        check_hashes: compare the SHA-256 of every file that was not compared since it was last touched, see
            `check_shards_once`; default True. False compares sizes alone.

    Attributes:
        manifest: the manifest as read
        lengths: int64 `[documents]`, tokens of each document without special tokens
        source_of: int64 `[documents]`, number of each document's source
        source_names: names of the sources
        starts: int64 `[documents]`, number of each document's first token, counted over all shards

    Raises:
        FileNotFoundError: If there is no manifest.
        ValueError: If a shard is broken, the folder is empty, or the tokenizer is another one.
    """

    def __init__(self, folder: str | Path, tokenizer_hash: str | None = None, check_hashes: bool = True) -> None:
        self.folder = Path(folder)
        self.manifest = read_shard_manifest(self.folder)
        made_with = self.manifest["tokenizer_hash"]
        if tokenizer_hash is not None and tokenizer_hash != made_with:
            raise ValueError(
                f"{folder} was prepared with another tokenizer (hash {made_with[:12]}, the given one has "
                f"{tokenizer_hash[:12]}); give that tokenizer or run prepare again"
            )
        entries = self.manifest["shards"]
        if check_hashes:
            check_shards_once(self.folder, entries)
        else:
            for entry in entries:
                check_shard(self.folder, entry, check_hash=False)
        self.source_names: list[str] = list(self.manifest["sources"])
        self._source_numbers_of = {name: number for number, name in enumerate(self.source_names)}
        self._names = [entry["name"] for entry in entries]
        self._dtype = np.dtype(self.manifest["dtype"])
        offsets = [self._document_offsets(entry) for entry in entries]
        sources = [self._source_numbers(entry) for entry in entries]
        self._first_document = np.cumsum([0, *(len(one) - 1 for one in offsets)])
        self.lengths: np.ndarray = np.concatenate([np.diff(one) for one in offsets] or [np.zeros(0, np.int64)])
        self.source_of: np.ndarray = np.concatenate(sources or [np.zeros(0, np.int64)])
        self.starts: np.ndarray = np.cumsum(self.lengths) - self.lengths
        if len(self) == 0:
            raise ValueError(f"{folder} holds no document; prepare it from a corpus with text")
        self._offsets = offsets
        self._maps: dict[tuple[str, str], np.ndarray] = {}

    def __len__(self) -> int:
        """Return the number of documents."""
        return int(self._first_document[-1])

    def __getitem__(self, index: int) -> TokenDocument:
        """Return document `index`; see `read` for a part of it."""
        return self.read(index, 0, int(self.lengths[index]))

    def read(self, index: int, start: int, length: int) -> TokenDocument:
        """Return `length` tokens of document `index` from its token `start` on."""
        shard, number = self._locate(index)
        first = int(self._offsets[shard][number]) + start
        ids = self._map(self._names[shard], "ids", self._dtype)[first : first + length]
        bits = self._map(self._names[shard], "starts", np.dtype(np.uint8))[first // 8 : (first + length + 7) // 8]
        word_starts = np.unpackbits(bits)[first % 8 : first % 8 + length].astype(bool)
        return TokenDocument(np.array(ids), word_starts)

    def name_of(self, index: int) -> str:
        """Return where a document lies, as `shard:number`, for messages."""
        shard, number = self._locate(index)
        return f"{self._names[shard]}:{number}"

    def token_counts(self) -> np.ndarray:
        """Return int64 `[vocabulary]`, how often each id occurs in all shards."""
        return np.sum([np.fromfile(self._path(name, "counts"), np.int64) for name in self._names], axis=0)

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that name the content of all shards in their order, as the manifest has it."""
        entries = [
            [entry["documents"], list(entry["sources"]), [entry["files"][kind]["sha256"] for kind in KINDS]]
            for entry in self.manifest["shards"]
        ]
        content = json.dumps([self._dtype.name, self.source_names, entries])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def _locate(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"document {index} is outside 0..{len(self) - 1}")
        shard = int(np.searchsorted(self._first_document, index, side="right")) - 1
        return shard, index - int(self._first_document[shard])

    def _document_offsets(self, entry: Mapping[str, Any]) -> np.ndarray:
        """Return where each document of a shard starts, and where the last one ends, int64 `[documents + 1]`."""
        path = self._path(entry["name"], "offsets")
        offsets = np.fromfile(path, np.uint64).astype(np.int64)
        expected = (entry["documents"] + 1, 0, entry["tokens"])
        found = (len(offsets), *offsets[:1].tolist(), *offsets[-1:].tolist())
        if found != expected or (np.diff(offsets) < 1).any():
            raise ValueError(
                f"{path} is damaged: its {len(offsets)} numbers do not rise from 0 to the shard's {entry['tokens']} "
                "tokens; run prepare again"
            )
        return offsets

    def _source_numbers(self, entry: Mapping[str, Any]) -> np.ndarray:
        """Return the manifest's source number of each document of a shard, which counts its own sources alone."""
        path = self._path(entry["name"], "sources")
        numbers = np.array([self._source_numbers_of[name] for name in entry["sources"]], dtype=np.int64)
        own = np.fromfile(path, np.uint16)
        if len(own) != entry["documents"] or own.max(initial=0) >= len(numbers):
            raise ValueError(
                f"{path} is damaged: it does not name one of {len(numbers)} sources for each of "
                f"{entry['documents']} documents; run prepare again"
            )
        return numbers[own]

    def _path(self, name: str, kind: str) -> Path:
        return self.folder / f"{name}.{kind}.bin"

    def _map(self, name: str, kind: str, dtype: np.dtype) -> np.ndarray:
        """Return a memory map, opened at first use, so that a copy in a worker process opens its own."""
        key = (name, kind)
        if key not in self._maps:
            self._maps[key] = np.memmap(self._path(name, kind), dtype=dtype, mode="r")
        return self._maps[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}


def read_shard_manifest(folder: Path) -> dict[str, Any]:
    """Read a folder's manifest.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is of another format, or lacks what one of this format has.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {MANIFEST}: it is not a prepared corpus, or prepare has not finished")
    found = read_record(path, {}, "run prepare again").get("format")
    if found != FORMAT:
        raise ValueError(f"{path} has format {found}, this version reads {FORMAT}; run prepare again")
    manifest = read_record(path, MANIFEST_SHAPE, "run prepare again")
    unknown = {name for entry in manifest["shards"] for name in entry["sources"]} - manifest["sources"].keys()
    if unknown or manifest["dtype"] not in map(str, map(id_dtype, (1, 1 << 17))):
        what = f"sources of shards, {', '.join(sorted(unknown))}" if unknown else f"ids of type {manifest['dtype']}"
        raise ValueError(f"{path} does not know {what}; run prepare again")
    return manifest

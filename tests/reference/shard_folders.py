"""Folders of shards made from given documents, for tests."""

import json
from pathlib import Path

import numpy as np

from chinese_modernbert.trainers.data.shards import MANIFEST, TokenDocument, id_dtype, write_shard


def random_documents(lengths: list[int], vocab_size: int = 1000, seed: int = 0) -> list[TokenDocument]:
    random = np.random.default_rng(seed)
    return [TokenDocument(random.integers(5, vocab_size, n), random.random(n) < 0.6) for n in lengths]


def write_folder(folder: Path, parts: list[list[TokenDocument]], vocab_size: int = 1000, **changes: object) -> Path:
    """Write shards whose documents come from source `a`, the last one of each shard from `b`."""
    folder.mkdir(exist_ok=True)
    entries = []
    for number, documents in enumerate(parts):
        sources = [0] * (len(documents) - 1) + [1]
        entry = write_shard(folder, f"shard-{number:05d}", documents, sources, vocab_size)
        entries.append({**entry, "sources": {"b": {}, "a": {}} if number else {"a": {}, "b": {}}})
    dtype = id_dtype(vocab_size).name
    manifest = {"format": 1, "tokenizer_hash": "abc", "dtype": dtype, "sources": {"a": {}, "b": {}}, "shards": entries}
    (folder / MANIFEST).write_text(json.dumps({**manifest, **changes}), encoding="utf-8")
    return folder

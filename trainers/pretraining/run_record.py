"""What a run writes down of itself in every checkpoint, with recipe and identity: packages, threads, data and start."""

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ...runtime.files import file_sha256, model_fingerprint
from ...runtime.threads import usable_cores
from ..data.shards import MANIFEST, read_shard_manifest

RUN_RECORD = "run_record.json"
# What a release says of the run that it came from; written by `hub_release`.
PROVENANCE_FILE = "training_provenance.json"
PACKAGES = ("chinese-modernbert", "torch", "transformers", "tokenizers", "accelerate", "numpy", "safetensors")


def run_record(train_data: str | Path, start: str | Path | None = None) -> str:
    """Return the record of a run as JSON: packages, threads of torch, what the manifest of its shards says, its start.

    Args:
        train_data: folder of the shards
        start: folder of the model that it goes on from; None for a new model
    """
    machine = {"threads": torch.get_num_threads(), "cores": usable_cores()}
    record = {"packages": package_versions(), "machine": machine, "data": summarise_manifest(train_data)}
    if start is not None:
        record["start"] = summarise_start(Path(start))
    return json.dumps(record, ensure_ascii=False, indent=1) + "\n"


def package_versions() -> dict[str, str]:
    """Return name -> version of the installed packages that decide the numbers of a run."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # accelerate comes with an extra
    return installed


def summarise_start(folder: Path) -> dict[str, Any]:
    """Return name and digest of the model that a run goes on from, and under `before` what it says of its own run.

    Args:
        folder: a release or a checkpoint
    """
    found = next((folder / name for name in (PROVENANCE_FILE, RUN_RECORD) if (folder / name).is_file()), None)
    before = {} if found is None else {"before": json.loads(found.read_text(encoding="utf-8"))}
    return {"model": model_fingerprint(folder), **before}


def summarise_manifest(folder: str | Path) -> dict[str, Any]:
    """Return what a release tells of prepared text: counts, sources, filters and hashes; no text and no folder.

    Args:
        folder: folder of the shards that `prepare` wrote

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is of another format.
    """
    manifest = read_shard_manifest(Path(folder))
    names = ("tokenizer_hash", "documents_read", "dropped", "documents", "tokens", "words", "sources")
    return {
        "manifest_sha256": file_sha256(Path(folder) / MANIFEST),
        **{name: manifest.get(name) for name in names},
        "configuration": dict(manifest.get("configuration", {})),
        "shards": [_shard(entry) for entry in manifest["shards"]],
    }


def _shard(entry: Mapping[str, Any]) -> dict[str, Any]:
    hashes = {kind: one["sha256"] for kind, one in entry["files"].items()}
    return {"name": entry["name"], "documents": entry["documents"], "tokens": entry["tokens"], "sha256": hashes}

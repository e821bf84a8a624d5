"""A release as an older version would have built it: the same code under other digests."""

import hashlib
import json
from pathlib import Path


def make_older(release: Path, version: str, table: Path) -> None:
    """Give every modeling file of a release one more line, record both in its manifest and in a table of versions."""
    path = release / "release_manifest.json"
    manifest, digests = json.loads(path.read_text()), {}
    for file in release.glob("*_chinese_modernbert.py"):
        file.write_bytes(file.read_bytes() + b"# older\n")
        digests[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest["files"].update(digests)
    path.write_text(json.dumps(manifest))
    table.write_text(json.dumps({version: digests}))

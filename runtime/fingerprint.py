"""Which weights a report is about: a name and a digest of the files."""

import hashlib
from pathlib import Path


def model_fingerprint(model: str | Path) -> str:
    """Return a model's name, and 16 hexadecimal digits of its weights and config where they are in a folder.

    Args:
        model: Folder of a saved model, or a name on the Hub, which comes back as it is.
    """
    folder = Path(model)
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    digest = hashlib.sha256()
    for file in (*files, *sorted(folder.glob("config.json"))):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"{folder.name} {digest.hexdigest()[:16]}" if files else str(model)

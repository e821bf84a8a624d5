"""The files of a release and their digests, and the modeling files of this version and of earlier ones.

`modeling_digests.json` holds, for each version whose releases must still verify, the sha256 of its modeling files.
Before a released version's modeling files change, their digests are added there under that version's number;
`0.1.0.dev0` is the state of 0.1.0 before the library was arranged in rooms, commit 988dfe2; `0.1.0.dev1` the one before
the residual stream had a mean of zero, commit 5544064.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import __version__, modeling
from ..runtime.files import file_sha256
from .checkpoint import read_json_object, write_json

MANIFEST_FILE = "release_manifest.json"
DIGESTS_FILE = Path(__file__).with_name("modeling_digests.json")
INSTALLED = f"{__version__} (installed)"


def modeling_files() -> list[Path]:
    """Return the files of `modeling/` that ship to the Hub, in order of name."""
    return sorted(Path(modeling.__file__).parent.glob("*_chinese_modernbert.py"))


def write_modeling_files(folder: Path) -> None:
    """Put the files of `modeling/` beside a config whose `auto_map` names them, byte for byte."""
    for path in modeling_files():
        (folder / path.name).write_bytes(path.read_bytes())


def known_modeling_digests() -> dict[str, dict[str, str]]:
    """Return the sha256 of each modeling file by version: the installed version first, then the recorded ones."""
    return {INSTALLED: {path.name: file_sha256(path) for path in modeling_files()}, **read_json_object(DIGESTS_FILE)}


def closest_version(digests: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Return the known version that shares the most modeling files with a folder, and its digests.

    Args:
        digests: sha256 of the folder's Python files by name; of equally close versions the installed one is taken
    """
    known = known_modeling_digests()
    return max(known.items(), key=lambda version: len(version[1].items() & digests.items()))


def release_files(folder: Path) -> list[str]:
    """Return the files of a release but its manifest and what git keeps, relative, in order of name."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    hidden = (".git", ".cache", "__pycache__")
    kept = [path for path in paths if not path.parts[0].startswith(hidden) and path.as_posix() != MANIFEST_FILE]
    return sorted(path.as_posix() for path in kept)


def read_release_manifest(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of a release by its name, as its manifest has them.

    Raises:
        ValueError: For a manifest that is broken or names no files.
    """
    files = read_json_object(folder / MANIFEST_FILE).get("files")
    if not isinstance(files, dict) or not files:
        raise ValueError(f"{folder / MANIFEST_FILE} names no files; build the release again")
    return files


def write_release_manifest(folder: Path, dtype: str, native: dict[str, Any]) -> None:
    """Write the sha256 of every file, so that a lost or changed one is seen without the checkpoint.

    Args:
        folder: the release
        dtype: data type of its weights
        native: `NativeForm.summary` of its weights
    """
    digests = {name: file_sha256(folder / name) for name in release_files(folder)}
    values = {"library_version": __version__, "dtype": dtype, "native_form": native, "files": digests}
    write_json(folder / MANIFEST_FILE, values)


def renew_manifest(folder: Path, inside: str) -> None:
    """Record the files of one sub-folder anew; a folder without a manifest is left as it is."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return
    manifest = read_json_object(path)
    kept = {name: digest for name, digest in manifest.get("files", {}).items() if not name.startswith(f"{inside}/")}
    new = {name: file_sha256(folder / name) for name in release_files(folder) if name.startswith(f"{inside}/")}
    write_json(path, {**manifest, "files": {**kept, **new}})


def renew_modeling_files(folder: Path) -> None:
    """Give a release the installed modeling files, and its manifest their digests; weights and card stay.

    Raises:
        ValueError: For a folder without a manifest that names files.
    """
    digests = read_release_manifest(folder)
    for path in folder.glob("*_chinese_modernbert.py"):
        path.unlink()
        digests.pop(path.name, None)
    write_modeling_files(folder)
    digests |= {path.name: file_sha256(path) for path in modeling_files()}
    manifest = read_json_object(folder / MANIFEST_FILE)
    files = dict(sorted(digests.items()))
    write_json(folder / MANIFEST_FILE, {**manifest, "library_version": __version__, "files": files})

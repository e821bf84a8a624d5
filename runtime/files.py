"""Files of results: no reader sees half of one (a temporary name first, a rename last), or one of another shape."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

# Of the files that a model, its tokenizer and its modules are read from.
READ_SUFFIXES = (".safetensors", ".bin", ".json", ".txt", ".model", ".py")


def followed(path: str | Path) -> Path:
    """Return what a symbolic link names, whether that exists or not; any other path as it is.

    To rename something to the link itself would put it in the link's place, on the disk that the link was to spare.
    """
    return Path(os.path.realpath(path)) if Path(path).is_symlink() else Path(path)


def make_folder(path: str | Path) -> None:
    """Make a folder and its parents where they are missing; of a link that names nothing yet, what it names."""
    Path(os.path.realpath(path)).mkdir(parents=True, exist_ok=True)


@contextmanager
def new_output_folder(path: str | Path, overwrite: bool = False, *, marker: str) -> Iterator[Path]:
    """Yield a temporary folder next to `path`; it is renamed to `path` on success and deleted on failure.

    Args:
        path: the folder to make; its parents are made too
        overwrite: replace an existing folder of ours; default False
        marker: name of a file that every folder of this kind holds; a folder without it is never deleted

    Raises:
        FileExistsError: If `path` is a non-empty folder and `overwrite` is off or the marker is not in it, or if
            `path` is a file.
        RuntimeError: If the block ends without having written the marker.
    """
    target = followed(path)
    _check_replaceable(target, overwrite, marker)
    make_folder(target.absolute().parent)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=".partial", dir=target.absolute().parent))
    try:
        yield temporary
        if not (temporary / marker).exists():
            raise RuntimeError(f"the writer of {target} made no {marker}; this is a defect of the writer")
        make_as_readable_as_others(temporary)
        _replace_folder(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _check_replaceable(target: Path, overwrite: bool, marker: str) -> None:
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{target} is a file; give the name of a new folder")
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not overwrite:
        raise FileExistsError(f"{target} is not empty; give another folder or set overwrite to replace it")
    if not (target / marker).exists():
        raise FileExistsError(f"{target} holds no {marker}, so it is not ours to replace; give another folder")


def _replace_folder(temporary: Path, target: Path) -> None:
    """Rename `temporary` to `target`; an old folder is moved aside first and deleted only after the rename."""
    if not target.exists():
        os.replace(temporary, target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=".old", dir=target.absolute().parent))
    os.replace(target, aside / "previous")
    try:
        os.replace(temporary, target)
    except OSError:
        os.replace(aside / "previous", target)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def open_atomically(path: str | Path) -> Iterator[IO[str]]:
    """Yield a stream of UTF-8 with LF line ends under a temporary name, which is renamed to `path` on success."""
    target = followed(path)
    make_folder(target.parent)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", suffix=".partial", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            yield stream
        make_as_readable_as_others(Path(name))
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text_atomically(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 with LF line ends under a temporary name, then rename it to `path`."""
    with open_atomically(path) as stream:
        stream.write(text)


def make_as_readable_as_others(path: Path) -> None:
    """Give a file or folder the permissions of any new one; those of `tempfile` and safetensors are private."""
    mask = os.umask(0o022)  # the only way to read it is to set it
    os.umask(mask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def model_fingerprint(model: str | Path) -> str:
    """Return a model's name, and 16 hexadecimal digits of its weights and config where they are in a folder.

    Args:
        model: folder of a saved model, or a name on the Hub, which is returned as it is
    """
    found = weights_fingerprint(model)
    return found if found == str(model) else f"{Path(model).name} {found}"


def weights_fingerprint(model: str | Path) -> str:
    """Return 16 hexadecimal digits of a model's weights and config where they are in a folder, else its name."""
    folder = Path(model)
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not folder.is_dir() or not files:
        return str(model)
    digest = hashlib.sha256()
    for file in (*files, *sorted(folder.glob("config.json"))):
        digest.update(bytes.fromhex(file_sha256(file)))
    return digest.hexdigest()[:16]


def model_files_fingerprint(model: str | Path) -> str:
    """Return what names all that loading a model reads: weights, configuration, tokenizer, modules, code.

    Args:
        model: folder of a saved model, of which it is 16 hexadecimal digits; or a name on the Hub, of which it is the
            commit that the cache holds, once something of it was loaded
    """
    folder = Path(model)
    if not folder.is_dir():
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(str(model), "config.json")
        return Path(cached).parent.name if isinstance(cached, str) else str(model)
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.suffix in READ_SUFFIXES and path.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()} {file_sha256(file)}\n".encode())
    return digest.hexdigest()[:16]


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_record(path: Path, shape: Any, advice: str) -> Any:
    """Return what a JSON file holds, after a check of its shape.

    Args:
        path: the file
        shape: see `require_shape`
        advice: what to do where the file is not what was written there

    Raises:
        OSError: If it cannot be opened.
        ValueError: With the file and the field, if it is not JSON or of another shape.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}); {advice}") from error
    try:
        require_shape(record, shape, str(path))
    except ValueError as error:
        raise ValueError(f"{error}; {advice}") from None
    return record


def require_shape(value: Any, shape: Any, place: str) -> None:
    """Refuse a value of another shape than stated.

    Args:
        value: what JSON gave
        shape: a type; a mapping of the fields that must be there to their shapes, where the key `...` stands for every
            field; or a list of one shape for all items. Further fields are left alone.
        place: where the value lies, for the message

    Raises:
        ValueError: With the place of the first difference.
    """
    kind: Any = shape if isinstance(shape, type) else type(shape)
    if not isinstance(value, kind) or (kind is not bool and type(value) is bool):
        raise ValueError(f"{place} is {type(value).__name__}, expected {kind.__name__}")
    if isinstance(shape, list):
        for number, item in enumerate(value):
            require_shape(item, shape[0], f"{place}, item {number}")
    if isinstance(shape, dict):
        for name in value if ... in shape else shape:
            if name not in value:
                raise ValueError(f"{place} has no field '{name}'")
            require_shape(value[name], shape[... if ... in shape else name], f"{place}, {name}")

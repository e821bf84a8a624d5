"""Reading documents from a data set of the Hub, or from local files in such a form, row by row and without a copy."""

import gc
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..runtime.lazy import optional_import
from ..runtime.text_files import check_length, whole_files
from .documents import SUFFIXES, TextDocument, checked_field, document_text

logger = logging.getLogger(__name__)

# What `save_to_disk` writes of one split, and of several.
SAVED_TO_DISK = ("state.json", "dataset_dict.json")


def read_dataset_documents(
    name: str,
    config: str | None = None,
    split: str = "train",
    revision: str | None = None,
    data_files: Sequence[str] = (),
    text_field: str = "text",
    source_field: str | None = None,
) -> Iterator[TextDocument]:
    """Yield every document of a data set that is not empty, in the order of its rows, streamed by `datasets`.

    Args:
        name: name on the Hub (`BAAI/CCI3-HQ`), a local folder (one of `save_to_disk` too), or a form (`json`,
            `parquet`, `text`) for `data_files`
        config: configuration of the data set; default None, its only one
        split: name of the split; default "train"
        revision: commit, tag or branch; a commit makes a run repeatable; default None, the newest
        data_files: files or patterns of the data set to read; default: all of them
        text_field: column of the text; a null counts as empty; default "text"
        source_field: column that names the source; default None: the data set and its configuration

    Raises:
        ImportError: Without `datasets`.
        FileNotFoundError: If there is no such data set or file.
        ValueError: For an unknown configuration or split; with the row's number, for a missing or wrong column, a
            lone surrogate or a text longer than `longest_text`; if the data set holds no document.
    """
    label = Path(name).name if Path(name).exists() else name
    source = f"{label}/{config}" if config else label
    n_documents = n_empty = 0
    for number, row in enumerate(_stream(name, config, split, revision, data_files), start=1):
        location = f"{name}[{split}]:{number}"
        text = document_text(row, text_field, location)
        if not text:
            n_empty += 1
            continue
        check_length(text, location)
        n_documents += 1
        yield TextDocument(text, checked_field(row, source_field, location) if source_field else source, location)
    if n_empty:
        logger.warning("skipped %d empty documents", n_empty)
    if not n_documents:
        raise ValueError(f"the data set {name}, split {split}, holds no document with text")


def _stream(
    name: str, config: str | None, split: str, revision: str | None, data_files: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield the rows; an error about their content becomes a ValueError that names the data set."""
    with optional_import("reading a data set"):
        from datasets.exceptions import DatasetsError
    try:
        with whole_files():
            yield from _load(name, config, split, revision, data_files)
    except (DatasetsError, ValueError, OSError) as error:
        if isinstance(error, FileNotFoundError) or (isinstance(error, OSError) and error.errno is not None):
            raise  # of the system; pyarrow's on a damaged file has no number
        raise ValueError(f"the data set {name}, split {split}, cannot be read: {error}") from error
    finally:
        # Where threads of pyarrow's scanner still hold a Parquet file when the interpreter ends, it aborts or hangs.
        gc.collect()


def _load(name: str, config: str | None, split: str, revision: str | None, data_files: Sequence[str]) -> Iterable[Any]:
    """Return the rows of a data set, or of a folder that `save_to_disk` wrote."""
    from datasets import Dataset, load_dataset_builder, load_from_disk

    if not any(Path(name, file).is_file() for file in SAVED_TO_DISK):
        builder = load_dataset_builder(name, config, revision=revision, data_files=list(data_files) or None)
        config_of_form: Any = builder.config
        if Path(name).is_dir() and not data_files:
            _log_other_forms(Path(name), config_of_form.data_files or {})
        if hasattr(config_of_form, "fragment_scan_options"):  # Parquet's alone
            from pyarrow.dataset import ParquetFragmentScanOptions

            config_of_form.fragment_scan_options = ParquetFragmentScanOptions(page_checksum_verification=True)
        return builder.as_streaming_dataset(split=split)
    if config or revision or data_files:
        raise ValueError("save_to_disk wrote it; leave configuration, revision and data files out")
    saved = load_from_disk(name)
    if isinstance(saved, Dataset):
        splits = {str(saved.split or split): saved}
    else:
        splits = {str(key): value for key, value in saved.items()}
    if split not in splits:
        raise ValueError(f"it has no such split; it has {', '.join(splits)}")
    return splits[split]


def _log_other_forms(folder: Path, data_files: Mapping[str, Sequence[str]]) -> None:
    """Warn of readable files that the data set leaves out: of a folder with several forms it reads the commonest."""
    taken = {os.path.realpath(file) for files in data_files.values() for file in files}
    readable = (file for file in sorted(folder.rglob("[!.]*")) if file.name.lower().endswith(SUFFIXES))
    left_out = [file for file in readable if file.is_file() and os.path.realpath(file) not in taken]
    if taken and left_out:
        logger.warning(
            "the data set %s leaves %d readable files of its folder out, the first is %s; give the folder as corpus",
            folder,
            len(left_out),
            left_out[0],
        )

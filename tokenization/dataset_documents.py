"""Reading documents from a data set of the Hub, or from local files in such a form, row by row and without a copy."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .documents import TextDocument, checked_field

logger = logging.getLogger(__name__)


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
        name: name on the Hub (`BAAI/CCI3-HQ`), a local folder, or a form (`json`, `parquet`, `text`) for `data_files`
        config: configuration of the data set; default None, its only one
        split: name of the split; default "train"
        revision: commit, tag or branch; a commit makes a run repeatable; default None, the newest
        data_files: files or patterns of the data set to read; default: all of them
        text_field: column of the text; a null counts as empty; default "text"
        source_field: column that names the source; default None: the data set and its configuration

    Raises:
        ImportError: Without `datasets`.
        FileNotFoundError: If there is no such data set or file.
        ValueError: For an unknown configuration or split; with the row's number, for a missing or wrong column or a
            lone surrogate; if the data set holds no document.
    """
    label = Path(name).name if Path(name).exists() else name
    source = f"{label}/{config}" if config else label
    n_documents = n_empty = 0
    for number, row in enumerate(_stream(name, config, split, revision, data_files), start=1):
        location = f"{name}[{split}]:{number}"
        if text_field in row and row[text_field] in (None, ""):
            n_empty += 1
            continue
        text = checked_field(row, text_field, location)
        n_documents += 1
        yield TextDocument(text, checked_field(row, source_field, location) if source_field else source, location)
    if n_empty:
        logger.warning("skipped %d empty documents", n_empty)
    if not n_documents:
        raise ValueError(f"the data set {name}, split {split}, holds no document with text")


def _stream(
    name: str, config: str | None, split: str, revision: str | None, data_files: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield the rows; an error of the data set other than an OSError becomes a ValueError that names the data set."""
    try:
        from datasets import load_dataset
        from datasets.exceptions import DatasetsError
    except ImportError as error:
        raise ImportError("reading a data set needs datasets: pip install 'chinese-modernbert[train]'") from error
    try:
        yield from load_dataset(
            name, config, split=split, revision=revision, data_files=list(data_files) or None, streaming=True
        )
    except (DatasetsError, ValueError) as error:
        if isinstance(error, OSError):
            raise
        raise ValueError(f"the data set {name}, split {split}, cannot be read: {error}") from error

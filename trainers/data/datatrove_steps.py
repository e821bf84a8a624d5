"""`prepare` as two steps of a `datatrove` pipeline, for many machines: each task writes shards, then one merges.

The same functions as the command: a task cuts its documents into shards with names of its own, keeps those that an
earlier attempt finished, and writes `rank-NNNNN.json` last; merging checks that every task is there.
"""

import dataclasses
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...runtime.files import read_record, write_text_atomically
from ...runtime.lazy import optional_import
from ...runtime.text_files import whole_files
from ...tokenization.documents import TextDocument
from ...tokenization.loading import load_tokenizer
from ...tokenization.word_segmentation import load_segmenter
from .arguments import PrepareArguments
from .filters import DocumentCounts, DocumentFilter, keep_documents
from .prepare import cut_shards
from .shard_settings import build_filters, shard_settings
from .shard_writer import PARTS, SETTINGS, finish_shard, open_folder, write_manifest
from .shards import ENTRY_SHAPE, check_shard

with optional_import("preparing on a cluster"):
    from datatrove.pipeline.base import PipelineStep

logger = logging.getLogger(__name__)

PART_SHAPE = {
    "world_size": int,
    "counts": {"documents_read": int, "bytes_read": int, "dropped": dict},
    "shards": [ENTRY_SHAPE],
    "configuration": dict,
}


class PrepareShards(PipelineStep):
    """The step after the readers and filters of `datatrove`: the documents of a task become shards.

    Args:
        arguments: `tokenizer`, `output_dir` and what decides the shards; a datatrove reader chooses the input.
            `output_dir` must be on a disk that all machines share.
        filters: own filters, as for `run_prepare`

    Raises:
        FileExistsError: If the folder holds something else, or shards of other settings.
        ValueError: For wrong arguments; for filters of duplicates, which would only see the documents of one task.
    """

    name = "Chinese ModernBERT shards"
    type = "TOKENIZER"

    def __init__(self, arguments: PrepareArguments, filters: Sequence[DocumentFilter] = ()) -> None:
        super().__init__()
        arguments.check_output()
        if arguments.corpus or arguments.dataset or arguments.max_documents or arguments.lines:
            raise ValueError(
                "corpus, dataset, max_documents or lines are given, but a datatrove reader reads here; drop them"
            )
        if arguments.drop_exact_duplicates or arguments.near_duplicate_similarity is not None:
            raise ValueError(
                "a task only sees its own documents, so duplicates across tasks would stay; use datatrove's own "
                "steps for duplicates (MinhashDedupSignature and those that follow it) before this one"
            )
        load_segmenter(arguments.segmenter, arguments.user_dictionary)
        self.arguments, self.filters = arguments, tuple(filters)
        settings = shard_settings(arguments, load_tokenizer(arguments.tokenizer), self.filters)
        self.settings = open_folder(Path(arguments.output_dir), settings, arguments.overwrite)

    def run(self, data: Iterable[Any], rank: int = 0, world_size: int = 1) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Write the shards of one task.

        Args:
            data: `datatrove` documents
            rank: number of the task; the first part of its shards' names
            world_size: number of tasks
        """
        path = Path(self.arguments.output_dir) / f"rank-{rank:05d}.json"
        path.unlink(missing_ok=True)
        counts = DocumentCounts()
        documents = keep_documents(self._documents(data), build_filters(self.arguments, self.filters), counts)
        entries = []
        with whole_files():
            for task in cut_shards(documents, self.arguments, self.settings, f"shard-{rank:05d}-"):
                with self.track_time("shard"):
                    entries.append(finish_shard(task))
                self.stat_update("documents", value=entries[-1]["documents"], unit="shard")
                self.stat_update("tokens", value=entries[-1]["tokens"], unit="shard")
        part = {"world_size": world_size, "counts": dataclasses.asdict(counts), "shards": entries}
        write_text_atomically(path, json.dumps({**part, "configuration": self.settings}, ensure_ascii=False) + "\n")

    def _documents(self, data: Iterable[Any]) -> Iterator[TextDocument]:
        """Translate documents and skip those without text, as every reader does."""
        for document in data:
            if document.text:
                yield TextDocument(document.text, self._source(document), document.id)

    def _source(self, document: Any) -> str:
        """Return the source field, or the file, its folder or the data set that the reader names."""
        field = self.arguments.source_field
        if field:
            if not isinstance(document.metadata.get(field), str):
                found = ", ".join(document.metadata) or "none"
                raise ValueError(f"{document.id} has no text field {field!r} in its metadata; its fields are {found}")
            return document.metadata[field]
        file = document.metadata.get("file_path")
        if not file:
            return str(document.metadata.get("dataset", "unknown"))
        return Path(file).parent.name if self.arguments.folder_sources else Path(file).name.split(".")[0]


class MergeShards(PipelineStep):
    """The last step, with one task, after all tasks of `PrepareShards`: writes the manifest.

    Args:
        arguments: those of `PrepareShards`
    """

    name = "Chinese ModernBERT manifest"
    type = "TOKENIZER"

    def __init__(self, arguments: PrepareArguments) -> None:
        super().__init__()
        self.arguments = arguments

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Write the manifest; see `merge_shards`."""
        if world_size != 1:
            raise ValueError(f"tasks={world_size}: merging is one task; give this executor tasks=1")
        merge_shards(self.arguments)


def merge_shards(arguments: PrepareArguments) -> Path:
    """Write the manifest of the shards that all tasks of `PrepareShards` left in `output_dir`, in the order of tasks.

    Args:
        arguments: those of `PrepareShards`

    Returns:
        The folder.

    Raises:
        FileNotFoundError: If no task or not every task has finished.
        ValueError: If tasks of another number or of other settings are among them, a file is missing or of another
            size, or there is no token.
    """
    folder = Path(arguments.output_dir)
    paths = sorted(folder.glob(PARTS), key=lambda path: int(path.stem.split("-")[1]))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no rank-*.json: no task of PrepareShards has finished there")
    parts = [read_record(path, PART_SHAPE, "run that task again") for path in paths]
    settings = read_record(folder / SETTINGS, {}, "run every task again")
    _check_parts(folder, paths, parts, settings)
    entries = [entry for part in parts for entry in part["shards"]]
    for entry in entries:
        check_shard(folder, entry, check_hash=False)
    counts = [DocumentCounts(**part["counts"]) for part in parts]
    manifest = write_manifest(folder, entries, settings, len(load_tokenizer(arguments.tokenizer)), counts)
    logger.info(
        "%d tasks, %d documents, %d tokens in %s", len(parts), manifest["documents"], manifest["tokens"], folder
    )
    return folder


def _check_parts(folder: Path, paths: Sequence[Path], parts: Sequence[dict[str, Any]], settings: Any) -> None:
    """Raise unless the parts are all parts of one run."""
    for path, part in zip(paths, parts, strict=True):
        if part["world_size"] != parts[0]["world_size"]:
            sizes = sorted({one["world_size"] for one in parts})
            raise ValueError(
                f"{folder} holds parts of runs with {' and '.join(map(str, sizes))} tasks; delete the rank-*.json of "
                "the number that is wrong"
            )
        if part["configuration"] != settings:
            raise ValueError(f"{path} was written with other settings than {folder / SETTINGS}; run that task again")
    numbers = {int(path.stem.split("-")[1]) for path in paths}
    missing = sorted(set(range(parts[0]["world_size"])) - numbers)
    if missing:
        named = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise FileNotFoundError(f"{len(missing)} of {parts[0]['world_size']} tasks have not finished: {named}")

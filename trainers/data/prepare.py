"""Text to shards of token ids and word starts, in a process pool, restartable shard by shard."""

import hashlib
import json
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import resource_tracker
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ...runtime.folder_lock import hold_folder
from ...runtime.text_files import ReadPosition
from ...runtime.threads import fit_workers
from ...tokenization.dataset_documents import read_dataset_documents
from ...tokenization.documents import TextDocument, find_text_files, read_documents, source_of_file
from ...tokenization.loading import load_tokenizer
from ...tokenization.word_segmentation import load_segmenter
from .arguments import PrepareArguments
from .filters import DocumentCounts, DocumentFilter, keep_documents
from .near_duplicates import MapInOrder, NearDuplicates, drop_near_duplicates
from .shard_settings import build_filters, shard_settings
from .shard_writer import ShardTask, finish_shard, open_folder, write_manifest

logger = logging.getLogger(__name__)

MAXIMUM_SOURCES = 10_000
"""Different sources of a corpus; more mean that each document has one of its own. Source: our default."""


def run_prepare(arguments: PrepareArguments, filters: Sequence[DocumentFilter] = ()) -> Path:
    """Write a corpus as shards; finished shards of an interrupted run are kept, broken ones are written again.

    Args:
        arguments: what to read and where to write
        filters: filters of the caller, run in this process after the built-in ones and before those of duplicates

    Returns:
        The folder with its manifest.

    Raises:
        FileNotFoundError: If a file of the corpus or the tokenizer is missing.
        FileExistsError: If the folder holds something that prepare did not write, or shards of other settings, or
            another run works in it.
        OSError: If a shard cannot be written, for example on a full disk; finished ones are kept.
        ValueError: For wrong arguments, broken text (with file and line), or a corpus without tokens.
    """
    arguments.check()
    files = find_text_files(arguments.corpus) if arguments.corpus else []
    _check_sources(files, arguments)
    tokenizer = load_tokenizer(arguments.tokenizer)
    load_segmenter(arguments.segmenter, arguments.user_dictionary)
    similarity = arguments.near_duplicate_similarity
    duplicates = None if similarity is None else NearDuplicates(similarity)
    folder = Path(arguments.output_dir)
    with hold_folder(folder):
        settings = open_folder(folder, shard_settings(arguments, tokenizer, filters), arguments.overwrite)
        _write_shards(arguments, files, filters, duplicates, settings, len(tokenizer))
    return folder


def _write_shards(
    arguments: PrepareArguments,
    files: Sequence[Path],
    filters: Sequence[DocumentFilter],
    duplicates: NearDuplicates | None,
    settings: Mapping[str, Any],
    vocab_size: int,
) -> None:
    """Read, filter and encode everything, and write the manifest."""
    folder = Path(arguments.output_dir)
    began, position, counts = time.perf_counter(), ReadPosition(), DocumentCounts()
    workers = fit_workers(arguments.prepare_workers)
    with _worker_pool(workers) as map_in_order, PrepareProgress(files, position, counts) as progress:
        documents = progress.watch(_read_input(arguments, files, position))
        documents = keep_documents(documents, build_filters(arguments, filters), counts)
        if duplicates is not None:
            documents = drop_near_duplicates(documents, duplicates, counts, map_in_order)
        entries = []
        for _, entry in map_in_order(finish_shard, cut_shards(documents, arguments, settings)):
            entries.append(entry)
            progress.finish_shard()
    manifest = write_manifest(folder, entries, settings, vocab_size, [counts])
    _log_summary(folder, manifest, counts, time.perf_counter() - began)


def cut_shards(
    documents: Iterable[TextDocument], arguments: PrepareArguments, settings: Mapping[str, Any], prefix: str = "shard-"
) -> Iterator[ShardTask]:
    """Cut the stream of documents into shards of about `shard_characters`, always at the same documents.

    Raises:
        ValueError: If there are more than `MAXIMUM_SOURCES` sources.
    """
    batch: list[TextDocument] = []
    characters = number = 0
    sources: set[str] = set()

    def task() -> ShardTask:
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for document in batch:
            digest.update(f"{len(document.text)} {document.source}\n{document.text}".encode("utf-8", "surrogatepass"))
        texts, sources = tuple(d.text for d in batch), tuple(d.source for d in batch)
        common = (arguments.tokenizer, arguments.segmenter, arguments.user_dictionary)
        return ShardTask(
            f"{prefix}{number:05d}", Path(arguments.output_dir), *common, texts, sources, digest.hexdigest()
        )

    for document in documents:
        batch.append(document)
        characters += len(document.text)
        sources.add(document.source)
        if len(sources) > MAXIMUM_SOURCES:
            named = f"source_field={arguments.source_field!r}" if arguments.source_field else "folder_sources"
            raise ValueError(
                f"{named} gives more than {MAXIMUM_SOURCES} sources by {document.location}; name a field with few "
                "values with --source_field, such as the data set's part"
            )
        if characters >= arguments.shard_characters:
            yield task()
            batch, characters, number = [], 0, number + 1
    if batch:
        yield task()


def _check_sources(files: Sequence[Path], arguments: PrepareArguments) -> None:
    """Refuse more files than there may be sources before they are read, where every file is a source."""
    if not arguments.source_field and not arguments.folder_sources:
        n_sources = len(set(map(source_of_file, files)))
        if n_sources > MAXIMUM_SOURCES:
            raise ValueError(
                f"{n_sources} files would be as many sources, and {MAXIMUM_SOURCES} may be; add --folder_sources, and "
                "each folder is one, or --source_field"
            )


def _read_input(arguments: PrepareArguments, files: Sequence[Path], position: ReadPosition) -> Iterator[TextDocument]:
    """Return the documents of the files or of the data set."""
    fields = {"text_field": arguments.text_field, "source_field": arguments.source_field}
    if arguments.dataset:
        where = (arguments.dataset, arguments.dataset_config, arguments.dataset_split, arguments.dataset_revision)
        documents = read_dataset_documents(*where, arguments.dataset_files, **fields)
    else:
        documents = read_documents(
            [str(file) for file in files],
            **fields,
            position=position,
            lines=arguments.lines,
            folder_sources=arguments.folder_sources,
        )
    return islice(documents, arguments.max_documents)


@contextmanager
def _worker_pool(workers: int) -> Iterator[MapInOrder]:
    """Yield a map that keeps the order and holds no more than twice as many items in memory as there are workers."""
    if workers == 0:
        yield lambda function, items: ((item, function(item)) for item in items)
        return
    # "spawn": a forked copy of a process that already runs the tokenizer's threads can hang.
    context = multiprocessing.get_context("spawn")
    resource_tracker.ensure_running()  # its start unblocks the signal that `start_without_interrupts` blocks
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:

        def map_in_order(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
            waiting: deque[tuple[Any, Future[Any]]] = deque()
            for item in items:
                with start_without_interrupts():  # an item may start one more worker
                    waiting.append((item, pool.submit(function, item)))
                if len(waiting) >= 2 * workers:
                    first, future = waiting.popleft()
                    yield first, future.result()
            for first, future in waiting:
                yield first, future.result()

        yield map_in_order


@contextmanager
def start_without_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: each would print a traceback beside the one line of the command.

    They inherit that this thread blocks the signal. Here it is held back until the end of the block, whichever thread
    takes it: in the middle of a start it would leave a worker that is told nothing, and ignored it would be lost.
    """
    if threading.current_thread() is not threading.main_thread():  # only there can a handler be set
        yield
        return
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


def _start_worker() -> None:
    """Use one core in this process, and end it with its parent, however that ends."""
    # Every worker would otherwise start as many threads as there are cores.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _log_summary(folder: Path, manifest: Mapping[str, Any], counts: DocumentCounts, seconds: float) -> None:
    """Log what was kept, what was dropped and why, and how fast it went."""
    dropped = ", ".join(f"{reason} {number:,}" for reason, number in manifest["dropped"].items())
    logger.info(
        "%s of %s documents kept%s; %s tokens; %.1f MB of text in %.0f s, %.2f MB/s; in %s",
        f"{manifest['documents']:,}",
        f"{manifest['documents_read']:,}",
        f" (dropped: {dropped})" if dropped else "",
        f"{manifest['tokens']:,}",
        counts.bytes_read / 1e6,
        seconds,
        counts.bytes_read / 1e6 / max(seconds, 1e-9),
        folder,
    )


DOCUMENTS_BETWEEN_UPDATES = 256


class PrepareProgress:
    """A bar over the bytes of the input files; a data set has no known size and shows counts alone.

    Args:
        files: files that are read; none for a data set
        position: updated by the reader
        counts: kept up to date by the filters
    """

    def __init__(self, files: Sequence[Path], position: ReadPosition, counts: DocumentCounts) -> None:
        self._position, self._counts = position, counts
        self._shards = 0
        columns = (
            TextColumn("preparing"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True))
        total = sum(file.stat().st_size for file in files) or None
        self._bar = self._progress.add_task("documents", total=total, status="")

    def __enter__(self) -> "PrepareProgress":
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show the last counts and stop the bar."""
        self._update()
        self._progress.stop()

    def watch(self, documents: Iterator[TextDocument]) -> Iterator[TextDocument]:
        """Yield the documents and move the bar."""
        for number, document in enumerate(documents):
            if number % DOCUMENTS_BETWEEN_UPDATES == 0:
                self._update()
            yield document

    def finish_shard(self) -> None:
        """Count one shard."""
        self._shards += 1
        self._update()

    def _update(self) -> None:
        elapsed = self._progress.tasks[0].elapsed or 0.0
        megabytes = self._counts.bytes_read / 1e6
        status = (
            f"{self._counts.documents_read:,} documents, {sum(self._counts.dropped.values()):,} dropped, "
            f"{self._shards:,} shards, {megabytes / max(elapsed, 1e-9):.2f} MB/s"
        )
        self._progress.update(self._bar, completed=self._position.n_bytes, status=status)

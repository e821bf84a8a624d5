"""The progress bar of `prepare`: bytes of the files where they are known, documents, shards and speed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ...tokenization.documents import ReadPosition, TextDocument
from .filters import DocumentCounts

DOCUMENTS_BETWEEN_UPDATES = 256


class PrepareProgress:
    """A bar over the bytes of the input files; a data set, whose size is not known, shows counts alone.

    Args:
        files: Files that are read; none for a data set.
        position: Moved by the reader.
        counts: Kept up to date by the filters.
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
        """Show the last counts and leave the bar as it is."""
        self._update()
        self._progress.stop()

    def watch(self, documents: Iterator[TextDocument]) -> Iterator[TextDocument]:
        """Yield the documents, moving the bar."""
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

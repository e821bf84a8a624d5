"""What the processes of one run agree on before they work: failures are shared, and all see the same data."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from accelerate import PartialState
from accelerate.utils import gather_object

from .folder_lock import FolderLock, Look, hold_folder

Result = TypeVar("Result")


def on_every_process(work: Callable[[], Result]) -> Result:
    """Do something on every process and wait for all; an error on one is raised on all.

    A process that stopped alone would leave the others waiting in their next exchange until it times out.

    Args:
        work: takes nothing and exchanges nothing with other processes

    Returns:
        This process's own result.

    Raises:
        Exception: This process's own, or a `RuntimeError` that names the first process that failed and says why.
    """
    if PartialState().num_processes == 1:
        return work()
    result, error = None, None
    try:
        result = work()
    except Exception as caught:  # any error must reach the other processes
        error = caught
    problems: list[str | None] = gather_object([None if error is None else str(error) or type(error).__name__])
    if error is not None:
        raise error
    for number, problem in enumerate(problems):
        if problem is not None:
            raise RuntimeError(f"process {number} cannot start: {problem}")
    return result  # pyright: ignore[reportReturnType]


def on_main_process(work: Callable[[], object]) -> None:
    """Do something on the main process while the others wait for it; see `on_every_process`."""
    on_every_process(lambda: work() if PartialState().is_main_process else None)


@contextmanager
def hold_folder_together(folder: str | Path) -> Iterator[None]:
    """Hold a folder for all processes of this run; every one must call this.

    Raises:
        FileExistsError: If another run works there, or may do so on a host that this one does not run on; on the other
            processes a `RuntimeError`, see `on_every_process`.
    """
    if PartialState().num_processes == 1:
        with hold_folder(folder):
            yield
        return
    lock = FolderLock(Path(folder))
    looks: list[Look] = gather_object([on_every_process(lock.look)])
    on_main_process(lambda: lock.take(looks))
    try:
        yield
    finally:
        lock.release()  # of the process that took it


def require_agreement(values: Mapping[str, Any]) -> None:
    """Compare values between processes: a machine with other shards would train on without an error.

    Args:
        values: name -> value that must be equal everywhere; the same names on every process

    Raises:
        ValueError: On every process, with the names that differ and the processes of the first difference.
    """
    if PartialState().num_processes == 1:
        return
    everyone: list[dict[str, Any]] = gather_object([dict(values)])
    for number, other in enumerate(everyone):
        different = [name for name in everyone[0] if other.get(name) != everyone[0][name]]
        if different:
            raise ValueError(
                f"processes 0 and {number} do not see the same {', '.join(different)}; give every process the same "
                "settings, and keep data and output_dir on storage that every machine shares"
            )

"""One run in one folder: a file there names the processes that work in it, and another run is refused while one lives.

The file is no lock of the file system, since those differ between storages: it is made so that only one process can
make it, and holds host, number and start of every process of the run. A run that was killed leaves it behind; the next
one takes it over where it can see that every process is gone: on the hosts that it runs on itself, and on any where it
is the same job of Slurm queued again, since Slurm ends all processes of a job before that.
"""

import json
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from .files import make_folder

logger = logging.getLogger(__name__)

LOCK = "run.lock"
ENDED = ("Z", "X")
"""States of a process that has ended and that nobody has asked for yet (proc(5))."""


class Owner(NamedTuple):
    """A process of the run that holds a folder.

    Attributes:
        host: name of its machine
        pid: its number there
        started: when it started, in the kernel's ticks, since numbers are given again; "" where that cannot be read
        job: number of its job of Slurm; "" outside one
        restarts: how often that job had been queued again
    """

    host: str
    pid: int
    started: str
    job: str = ""
    restarts: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @classmethod
    def this_process(cls) -> "Owner":
        """Return the process that asks."""
        found, job = _state_and_start(os.getpid()), os.environ.get("SLURM_JOB_ID", "")
        restarts = os.environ.get("SLURM_RESTART_COUNT", "0") if job else ""
        return cls(socket.gethostname(), os.getpid(), "" if found is None else found[1], job, restarts)

    def may_live(self, own: "Owner", hosts: set[str]) -> bool:
        """Whether nobody has seen that it is gone: it is on none of `hosts`, and Slurm did not end it."""
        return self.host not in hosts and (not own.job or self.job != own.job or self.restarts == own.restarts)

    @property
    def is_alive(self) -> bool:
        """Whether it lives, asked on its own host."""
        if os.name != "posix":
            return True  # there, signal 0 would end it
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # another user's
        found = _state_and_start(self.pid)
        return found is None or (found[0] not in ENDED and self.started in ("", found[1]))


class Look(NamedTuple):
    """What one process of a run that wants a folder finds there.

    Attributes:
        own: this process
        text: content of the lock, None where there is none
        living: owners that live on this host
    """

    own: Owner
    text: str | None
    living: tuple[Owner, ...]


class FolderLock:
    """The lock of one folder.

    Args:
        folder: need not exist
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / LOCK
        self._text: str | None = None
        self._made_folder = False

    def look(self) -> Look:
        """Return what this process finds; every process of a run asks, before one of them takes the folder."""
        own = Owner.this_process()
        text = self.path.read_text(encoding="utf-8") if self.path.is_file() else None
        owners = [] if text is None else self._owners(text)
        return Look(own, text, tuple(one for one in owners if one.host == own.host and one.is_alive))

    def take(self, looks: Sequence[Look]) -> None:
        """Take the folder for the processes that have looked, in one of them.

        Raises:
            FileExistsError: If another run works there, or may do so on a host where nobody has looked.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise FileExistsError(f"{self.folder} is a file; give the name of a folder")
        self._refuse_living(looks)
        if looks[0].text is not None:
            self._put_aside(looks[0].text)
        self._made_folder = not self.folder.exists()
        make_folder(self.folder)
        try:
            stream = self.path.open("x", encoding="utf-8")
        except FileExistsError:
            raise self._in_use("a run that has just begun") from None
        self._text = json.dumps([look.own for look in looks]) + "\n"
        try:
            with stream:
                stream.write(self._text)
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Give the folder back, and remove it where it was made for nothing."""
        if self._text is not None and self.path.is_file() and self._text.startswith(self.path.read_text("utf-8")):
            self.path.unlink()
        self._text = None
        if self._made_folder:
            with suppress(OSError):  # it holds something
                self.folder.rmdir()

    def _refuse_living(self, looks: Sequence[Look]) -> None:
        living = next((owner for look in looks for owner in look.living), None)
        if living is not None:
            raise self._in_use(str(living))
        own, hosts = looks[0].own, {look.own.host for look in looks}
        hidden = [one for one in self._owners(looks[0].text or "[]") if one.may_live(own, hosts)]
        if hidden:
            raise FileExistsError(
                f"{self.folder} is held by {hidden[0]}, and {own.host} cannot see whether it lives; "
                f"if it has ended, delete {self.path}"
            )

    def _put_aside(self, text: str) -> None:
        """Take a stale lock away, unless another run has taken it over meanwhile."""
        aside = self.path.with_suffix(f".{os.getpid()}.stale")
        try:
            os.replace(self.path, aside)
        except FileNotFoundError:
            raise self._in_use("a run that has just ended or begun") from None
        if aside.read_text(encoding="utf-8") != text:
            os.replace(aside, self.path)
            raise self._in_use("a run that has just begun")
        aside.unlink()
        logger.warning("%s was held by %s, which is gone: it is taken over", self.folder, self._owners(text)[0])

    def _in_use(self, owner: str) -> FileExistsError:
        return FileExistsError(f"{self.folder} is in use by {owner}; wait for it or end it, or give another folder")

    def _owners(self, text: str) -> list[Owner]:
        try:
            return [Owner(str(host), int(pid), *map(str, rest)) for host, pid, *rest in json.loads(text)]
        except (ValueError, TypeError):
            raise FileExistsError(f"{self.path} does not say who works there; if no run does, delete it") from None


@contextmanager
def hold_folder(folder: str | Path) -> Iterator[None]:
    """Hold a folder for this process; see `processes.hold_folder_together` for a run of several.

    Raises:
        FileExistsError: If another run works there, or may do so on another host.
    """
    lock = FolderLock(Path(folder))
    lock.take([lock.look()])
    try:
        yield
    finally:
        lock.release()


def is_occupied(folder: Path) -> bool:
    """Return whether a folder exists and holds anything but a lock."""
    return folder.is_dir() and any(path.name != LOCK for path in folder.iterdir())


def _state_and_start(pid: int) -> tuple[str, str] | None:
    """Return state and start of a process as Linux tells them, None where they cannot be read."""
    try:
        # The name in parentheses may hold anything. Source: proc(5), fields 3 and 22.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], fields[19]

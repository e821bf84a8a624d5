"""Processes of tests: each is started with everything it will ever start in reach, and nothing of it outlives its test.

torchrun gives every worker a session of its own, so a group of processes is not all that a command starts. What is
inherited by all is the environment: a started command carries a mark in it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

MARK = "CHINESE_MODERNBERT_TEST_PROCESS"
# Only for what hangs: several times what the longest command takes on two cores that four test runs share.
PATIENCE_SECONDS = 780
HELD_RUN = Path(__file__).parent / "held_run"
_running: dict[str, subprocess.Popen[str]] = {}


def start(
    command: Sequence[str], environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """Start a command in a session of its own; see `end_all`.

    Args:
        command: its words.
        environment: what differs from this process's.
        options: of `subprocess.Popen`, such as `stdout`.
    """
    mark = uuid.uuid4().hex
    variables = {**os.environ, **(environment or {}), MARK: mark}
    process = subprocess.Popen(command, env=variables, text=True, start_new_session=True, **options)
    _running[mark] = process
    return process


def finish(processes: Sequence[subprocess.Popen[str]]) -> list[int]:
    """Wait for commands and return their exit codes; whatever hangs fails the test, and all that is left is ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        return [process.wait(timeout=max(deadline - time.monotonic(), 0.1)) for process in processes]
    finally:
        end(processes)


def run(
    command: Sequence[str], environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return its exit code and what it wrote; nothing of it outlives the call."""
    process = start(command, environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd)
    try:
        out, errors = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        end([process])
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def end(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Kill commands with all that they started, and wait until they are gone."""
    for mark in [mark for mark, process in _running.items() if process in processes]:
        while found := carriers(mark):
            for process in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.01)
        _running.pop(mark).wait()


def end_all() -> None:
    """End every command that still runs; the fixture of all tests calls it."""
    end(list(_running.values()))


def wait_until(reached: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Wait for a condition, as long as the process runs that is to bring it about."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert process is None or process.poll() is None, f"ended with {process and process.poll()} before its time"
        assert time.monotonic() < deadline, f"not reached within {PATIENCE_SECONDS} seconds"
        time.sleep(0.01)


def held_at(step: int) -> dict[str, str]:
    """Return the variables with which a run waits at the end of a step until it is signalled."""
    return {"PYTHONPATH": f"{HELD_RUN}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", "HOLD_AT_STEP": str(step)}


def carriers(mark: str) -> list[psutil.Process]:
    """Return the processes with a mark in their environment, without this one."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
    return found


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """Yield a port of this machine that is kept for a server of ours: others are given other ones meanwhile.

    A socket that is bound and does not listen keeps it; servers that set SO_REUSEADDR, as torch's stores do, may still
    listen there.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def left_over(own_mark: str) -> list[str]:
    """Return command lines of processes that this one started and that still run, a while after they should be gone."""
    deadline = time.monotonic() + 60
    while True:
        children = psutil.Process().children(recursive=True)
        left = [line for process in {*children, *carriers(own_mark)} if (line := command_line(process))]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)


def command_line(process: psutil.Process) -> str:
    """Return the words of a process that counts; "" for a dead one and for the helpers of Python that end with it."""
    with contextlib.suppress(psutil.Error):
        words = " ".join(process.cmdline())
        helpers = ("resource_tracker", "forkserver", "torch._inductor.compile_worker")
        if process.status() != psutil.STATUS_ZOMBIE and not any(helper in words for helper in helpers):
            return f"{process.pid}: {words}"
    return ""

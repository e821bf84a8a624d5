"""Two processes of one machine, started by torch and never waited for in vain."""

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

PROCESSES = 2
SECONDS = 180


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def run_two(work: Callable[..., None], *arguments: Any) -> None:
    """Call `work(rank, *arguments)` in two processes and fail the test where they hang."""
    context = torch.multiprocessing.spawn(work, arguments, nprocs=PROCESSES, join=False)
    assert context is not None
    deadline = time.monotonic() + SECONDS
    while not context.join(timeout=5):
        if time.monotonic() > deadline:
            for process in context.processes:
                process.kill()
            pytest.fail(f"two processes did not end within {SECONDS} seconds")

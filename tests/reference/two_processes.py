"""Two processes of one machine, started by torch and never waited for in vain."""

from collections.abc import Callable
from typing import Any

import torch

from reference.processes import held_port, wait_until

PROCESSES = 2


def run_two(work: Callable[..., Any], *arguments: Any) -> None:
    """Call `work(rank, port, *arguments)` in two processes; one that fails or hangs fails the test."""
    with held_port() as port:
        context = torch.multiprocessing.spawn(work, (port, *arguments), nprocs=PROCESSES, join=False)
        assert context is not None
        try:
            wait_until(lambda: context.join(timeout=1))
        finally:
            for process in context.processes:
                process.kill()
                process.join()

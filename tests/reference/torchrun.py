"""Start commands the way a user starts them on several processes or machines: torchrun, here on the CPU."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from reference.two_processes import free_port

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def start(words: Sequence[str], folder: Path, agents: int = 1) -> list[subprocess.Popen[str]]:
    """Start two processes: one agent (a machine) with two of them, or two agents with one each, meeting on loopback."""
    if agents == 1:
        options = [["--standalone", "--nproc_per_node", "2"]]
    else:
        port = free_port()
        meeting = ["--rdzv_backend", "c10d", "--rdzv_endpoint", f"127.0.0.1:{port}", "--rdzv_id", folder.name]
        options = [["--nnodes", str(agents), "--nproc_per_node", "1", *meeting]] * agents
    started = []
    for number, option in enumerate(options):
        command = [sys.executable, "-m", "torch.distributed.run", *option, *words]
        with (folder / f"out-{number}.txt").open("w") as out, (folder / f"err-{number}.txt").open("w") as err:
            environment = {**os.environ, **ENVIRONMENT}
            started.append(subprocess.Popen(command, stdout=out, stderr=err, env=environment, text=True))
    return started


def finish(processes: Sequence[subprocess.Popen[str]], seconds: int = 240) -> list[int]:
    """Wait for all agents and return their exit codes; one that hangs is ended and fails the test."""
    try:
        return [process.wait(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()


def workers_of(agent: subprocess.Popen[str]) -> list[int]:
    """Return the process ids of an agent's workers."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(agent.pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]

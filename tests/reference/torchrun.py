"""Start commands the way a user starts them on several processes or machines: torchrun, here on the CPU."""

import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from reference import processes
from reference.processes import finish

__all__ = ["finish", "start", "workers_of"]

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def start(
    words: Sequence[str], folder: Path, agents: int = 1, environment: Mapping[str, str] | None = None
) -> list[subprocess.Popen[str]]:
    """Start two processes: one agent (a machine) with two of them, or two agents with one each that meet in a file."""
    if agents == 1:
        options = ["--standalone", "--nproc_per_node", "2"]
    else:
        # A port could be taken by someone else before the first agent, which imports torch first, listens on it.
        meeting = ["--rdzv_conf", "store_type=file", "--rdzv_endpoint", str(folder / f"meeting-{uuid.uuid4().hex}")]
        options = ["--nnodes", str(agents), "--nproc_per_node", "1", "--rdzv_backend", "c10d", *meeting]
        options += ["--rdzv_id", folder.name]
    command = [sys.executable, "-m", "torch.distributed.run", *options, *words]
    started = []
    for number in range(agents):
        with (folder / f"out-{number}.txt").open("w") as out, (folder / f"err-{number}.txt").open("w") as err:
            started.append(processes.start(command, {**ENVIRONMENT, **(environment or {})}, stdout=out, stderr=err))
    return started


def workers_of(agent: subprocess.Popen[str]) -> list[int]:
    """Return the process ids of an agent's workers."""
    return [process.pid for process in psutil.Process(agent.pid).children()]

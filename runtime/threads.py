"""How many threads of a CPU a process uses, and how they wait for each other: decided here, before torch computes.

torch takes one thread for each core of the affinity mask. It does not know that a container may have two cores' time of
a host with 64, and threads without a core to run on hold up all others at the end of every operation.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from pathlib import Path

logger = logging.getLogger(__name__)

# Whoever sets one of these has chosen.
NUMBERS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
GROUPS = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def usable_cores(groups: Path = GROUPS, mount: Path = MOUNT) -> int:
    """Return how many cores this process may keep busy: those of its affinity mask, or fewer by a quota of its cgroup.

    Args:
        groups: the file that names the cgroups of this process
        mount: where they are mounted
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.floor(min([float(cores), *_quotas(groups, mount)])))


def fit_threads(groups: Path = GROUPS, mount: Path = MOUNT) -> None:
    """Give torch no more threads than there are cores for them, and say so; who has set a number keeps it.

    For a command's own process: in a program the number that `torch.set_num_threads` was given would be lost. Without
    torch nothing happens. Workers of a data loader have one thread each, which is torch's own rule.
    """
    if "torch" not in sys.modules or any(name in os.environ for name in NUMBERS):
        return
    import torch

    cores, threads = usable_cores(groups, mount), torch.get_num_threads()
    if threads > cores:
        torch.set_num_threads(cores)
        logger.info("torch computes with %d threads, not %d: so many cores may this process use", cores, threads)


def fit_workers(asked: int) -> int:
    """Return how many worker processes to start: those asked for, or as many as there are cores, and say so."""
    cores = usable_cores()
    if asked > cores:
        logger.info("%d workers work, not %d: so many cores may this process use", cores, asked)
    return min(asked, cores)


def let_threads_sleep() -> None:
    """Let threads of OpenMP that wait give up their core, unless the environment says otherwise; before torch loads.

    By default they spin, and take the core from a worker that reads data, or from the thread that they wait for.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ["OMP_WAIT_POLICY"] = "passive"


def _quotas(groups: Path, mount: Path) -> list[float]:
    """Return the cores that each cgroup around this process allows, of either version; none without a limit."""
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        own = path.strip("/")
        for folder in (Path(own), *Path(own).parents):
            if not controllers:
                found.append(_quota(mount / folder / "cpu.max"))
            elif "cpu" in controllers.split(","):
                found.append(_quota(*(mount / "cpu" / folder / f"cpu.cfs_{part}_us" for part in ("quota", "period"))))
    return [quota for quota in found if quota is not None]


def _quota(*files: Path) -> float | None:
    """Return quota over period, from one file or two, or None without a limit."""
    try:
        quota, period = " ".join(file.read_text(encoding="utf-8") for file in files).split()
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError):  # not there, or "max"
        return None

"""What produced a result: versions, commit, machine. Every report ends with it."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

CPU_INFORMATION = Path("/proc/cpuinfo")
PACKAGES = ("chinese-modernbert", "transformers", "torch")


def describe_environment(*packages: str) -> dict[str, str]:
    """Return the versions of this package, its two foundations and `packages`, the commit and the machine."""
    return {
        **{name: _version(name) for name in (*PACKAGES, *packages)},
        "commit": _commit(),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def _version(package: str) -> str:
    """Return the installed version; a checkout may also be used without being installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """Return the commit of the checkout that holds the code, marked "dirty" if there are uncommitted changes."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        found = ""
    return found or "not a checkout"


def _processor() -> str:
    """Return the processor's name."""
    if CPU_INFORMATION.is_file():
        for line in CPU_INFORMATION.read_text(encoding="utf-8", errors="replace").split("\n"):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

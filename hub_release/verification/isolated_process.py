"""Run one of the isolated checks: a fresh process in an empty folder, with little of the user's environment."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..checkpoint import write_json

TIME_LIMIT_SECONDS = 3600.0
# All that the child gets of the user's variables: no token, no key, no path to our code. Source: our default.
KEPT_VARIABLES = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "TEMP", "TMP"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS"),
        *("SYSTEMROOT", "SYSTEMDRIVE", "COMSPEC", "PATHEXT", "USERNAME", "USERPROFILE", "LOCALAPPDATA", "APPDATA"),
    )
)


class ProcessFailedError(Exception):
    """The process gave no results; the message says how it ended."""


def run_script(script: Path, python: str, make_job: Callable[[Path], dict[str, Any]]) -> list[dict[str, str]]:
    """Run a script in a fresh process, in an empty folder, and return its results.

    Args:
        script: takes the path of a JSON file, its job, and writes a JSON list to the path in `results` of that job
        python: interpreter of the process
        make_job: gets a temporary folder for what the job needs, and returns the job

    Raises:
        ProcessFailedError: Where the process fails, takes too long or writes no results.
    """
    with tempfile.TemporaryDirectory(prefix="verify_release_") as temporary:
        folder = Path(temporary).resolve()
        (folder / "empty").mkdir()
        results = folder / "results.json"
        write_json(folder / "job.json", {**make_job(folder), "results": str(results)})
        try:
            process = run_captured(
                [python, "-P", "-s", str(script), str(folder / "job.json")],
                TIME_LIMIT_SECONDS,
                cwd=folder / "empty",
                env=isolated_environment(folder),
            )
        except subprocess.TimeoutExpired:
            raise ProcessFailedError(f"did not end within {TIME_LIMIT_SECONDS:.0f} s") from None
        if process.returncode != 0 or not results.is_file():
            raise ProcessFailedError(f"ended with {process.returncode}: {last_line(process)}")
        return json.loads(results.read_text(encoding="utf-8"))


def run_captured(
    command: list[str], seconds: float, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program without a keyboard and return what it said; whoever asks something gets no answer.

    Raises:
        subprocess.TimeoutExpired: Where it does not end in time.
    """
    return subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=seconds,
        check=False,
    )


def last_line(process: subprocess.CompletedProcess[str]) -> str:
    """Return the last line of a program's errors; a progress bar writes many into one."""
    return re.split(r"[\r\n]+", process.stderr.strip())[-1]


def isolated_environment(folder: Path) -> dict[str, str]:
    """Return an environment without secrets and without paths to our code, with own caches and no network.

    Args:
        folder: where the caches go
    """
    kept = {name: value for name, value in os.environ.items() if _is_kept(name.upper())}
    return {
        **kept,
        "HF_HOME": str(folder / "hf_home"),
        "HF_MODULES_CACHE": str(folder / "hf_modules"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _is_kept(name: str) -> bool:
    """Tell whether the child gets a variable; its name in capitals, since Windows does not tell them apart."""
    return name in KEPT_VARIABLES or name.startswith("LC_")

"""The stages for a machine with a GPU, rehearsed on the CPU with a tiny model: there they must run at the first try."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu" / "run.py"


def rehearse(output: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # A stage ends by itself long before its share of ten hours, on a busy machine too.
    command = [sys.executable, str(SCRIPT), "--output", str(output), "--minutes", "600", "--size", "tiny"]
    # As on a machine where the package is not installed: the checkout is found by the script itself.
    environment = {**os.environ, "PYTHONPATH": ""}
    return subprocess.run(
        [*command, "--device", "cpu", *words], capture_output=True, text=True, check=False, env=environment
    )


def result(output: Path, stage: str) -> dict[str, Any]:
    return json.loads((output / f"{stage}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rehearsal(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of all four stages."""
    output = tmp_path_factory.mktemp("gpu")
    ended = rehearse(output, "--data", str(data / "train-shards"), "--tokenizer", str(data / "tokenizer"))
    logs = "\n".join(path.read_text(encoding="utf-8")[-1500:] for path in output.glob("*.log"))
    assert ended.stdout.strip().split("\n")[-1] == "nothing is missing", ended.stdout + ended.stderr + logs
    assert ended.returncode == 0
    return output


def test_every_kernel_that_runs_here_equals_eager(rehearsal: Path) -> None:
    rows = result(rehearsal, "parity")["rows"]
    ran = {(row["kernel"], row["dtype"]) for row in rows if row["outcome"] == "equal"}
    assert {("sdpa", "float32"), ("sdpa", "bfloat16"), ("eager", "bfloat16")} <= ran
    assert not [row for row in rows if row["outcome"] == "OFF"]
    assert {row["kernel"] for row in rows if row["outcome"] == "not run"} >= {"varlen_attn"}
    assert {row["batch"] for row in rows} >= {"one text of 64", "one text of 65", "padded", "packed", "packed, causal"}


def test_speed_and_the_share_of_kernels_are_written_down(rehearsal: Path) -> None:
    rows = result(rehearsal, "speed")["rows"]
    measured = [row for row in rows if "ratio" in row]
    assert {(row["case"], row["kind"]) for row in measured} >= {("short", "training step"), ("short", "forward")}
    assert all(row["ratio"] > 0 for row in measured)
    # Without a C++ compiler the compiled row says so, and the others are there.
    assert [row["compiled"] for row in rows] == [False, False, True]
    shares = result(rehearsal, "trace")["rows"][0]["shares"]
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.01) and shares["matrix products"] > 0
    assert (rehearsal / "chrome_trace.json.gz").is_file()


def test_the_training_run_is_stopped_with_a_checkpoint_and_a_log(rehearsal: Path) -> None:
    rows = result(rehearsal, "train")["rows"]
    assert rows[-1]["stopped_with_a_checkpoint"] is True and any("loss" in row for row in rows)
    assert (rehearsal / "training_log.jsonl").is_file()


def test_what_did_not_run_is_named_and_nothing_before_it_is_lost(tmp_path: Path) -> None:
    ended = rehearse(tmp_path, "--stages", "trace", "train")
    assert ended.returncode == 1
    assert ended.stdout.strip().split("\n")[-1] == "missing: train (not run)"
    assert [one["outcome"] for one in json.loads((tmp_path / "stages.json").read_text())] == ["finished", "not run"]
    assert result(tmp_path, "trace")["rows"]

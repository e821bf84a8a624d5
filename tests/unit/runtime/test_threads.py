"""Cores that a process may use, in containers of either kind, and what it makes of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from chinese_modernbert.runtime import threads
from chinese_modernbert.runtime.threads import fit_threads, let_threads_sleep, usable_cores
from chinese_modernbert.trainers.pretraining.callbacks import heed_only_the_parent

# cgroup lines, files of the mount, cores of 64.
CONTAINERS = {
    "version 2, of the group itself": ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
    "version 2, of a group around it": ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "350000 100000"}, 3),
    "version 2, without a limit": ("0::/a\n", {"a/cpu.max": "max 100000\n"}, 64),
    "version 2, less than a core": ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
    "version 2, more than there are": ("0::/\n", {"cpu.max": "9900000 100000\n"}, 64),
    "version 1": (
        "4:memory:/x\n2:cpu,cpuacct:/docker/1\n0::/\n",
        {"cpu/docker/1/cpu.cfs_quota_us": "400000\n", "cpu/docker/1/cpu.cfs_period_us": "100000\n"},
        4,
    ),
    "version 1, the folder is the root of the container's mount": (
        "2:cpuacct,cpu:/docker/1\n",
        {"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "50000\n"},
        3,
    ),
    "version 1, without a limit": (
        "2:cpu:/\n",
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        64,
    ),
    "no cgroups": (None, {}, 64),
}


def container(folder: Path, lines: str | None, files: dict[str, str]) -> tuple[Path, Path]:
    """Write the files of a container and return what `usable_cores` takes."""
    for name, text in files.items():
        (folder / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "mount" / name).write_text(text)
    if lines is not None:
        (folder / "cgroup").write_text(lines)
    return folder / "cgroup", folder / "mount"


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_cores_of_a_container_are_those_of_its_quota(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, files, expected = CONTAINERS[name]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert usable_cores(*container(tmp_path, lines, files)) == expected


def test_an_affinity_mask_narrower_than_the_quota_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert usable_cores(*container(tmp_path, "0::/\n", {"cpu.max": "200000 100000"})) == 1


@pytest.fixture
def set_numbers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the numbers that torch is given, which has eight threads here."""
    given: list[int] = []
    for name in threads.NUMBERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    return given


def test_torch_gets_no_more_threads_than_cores_unless_the_user_has_chosen(
    set_numbers: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fit_threads(*container(tmp_path, None, {}))
    assert set_numbers == []
    files = container(tmp_path, "0::/\n", {"cpu.max": "200000 100000"})
    with caplog.at_level("INFO"):
        fit_threads(*files)
    assert set_numbers == [2]
    assert "torch computes with 2 threads, not 8" in caplog.text
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    fit_threads(*files)
    assert set_numbers == [2]


def test_waiting_threads_sleep_unless_the_user_has_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in threads.WAITING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")
    let_threads_sleep()
    assert "OMP_WAIT_POLICY" not in os.environ
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "active"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    let_threads_sleep()
    assert os.environ.pop("OMP_WAIT_POLICY") == "passive"


def test_a_command_decides_how_threads_wait_before_torch_is_loaded() -> None:
    code = (
        "import os, sys\nfrom chinese_modernbert import cli\nassert 'torch' not in sys.modules\n"
        "cli.main(['pretrain', '--data', 'no/such/folder', '--output_dir', 'unused', '--use_cpu'])\n"
        "assert 'torch' in sys.modules\nprint(os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {name: value for name, value in os.environ.items() if name not in threads.WAITING}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "passive"


class ThreadsOfTheWorker(Dataset[int]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, number: int) -> int:
        return torch.get_num_threads()


def test_a_worker_that_reads_data_has_one_thread() -> None:
    loader = DataLoader(ThreadsOfTheWorker(), num_workers=1, worker_init_fn=heed_only_the_parent)
    assert [int(number) for number in loader] == [1]

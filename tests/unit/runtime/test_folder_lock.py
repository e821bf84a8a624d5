"""One run in one folder: whom the lock keeps out, and when it is taken over."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from chinese_modernbert.runtime.folder_lock import LOCK, FolderLock, Look, Owner, hold_folder, is_occupied

HOST = socket.gethostname()


def write_lock(folder: Path, *owners: tuple[str | int, ...]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / LOCK).write_text(json.dumps(owners), encoding="utf-8")
    return folder


def start_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_a_folder_is_held_by_one_run_and_free_afterwards(tmp_path: Path) -> None:
    with hold_folder(tmp_path / "run"):
        assert not is_occupied(tmp_path / "run")
        (tmp_path / "run" / "result").touch()
        with (
            pytest.raises(FileExistsError, match=rf"run is in use by process {os.getpid()} on {HOST}; wait for it"),
            hold_folder(tmp_path / "run"),
        ):
            pass
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["result"]
    with hold_folder(tmp_path / "run"):
        assert is_occupied(tmp_path / "run")


def test_a_folder_that_was_made_for_nothing_goes_and_another_stays(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("old", "new"):
        with pytest.raises(KeyError), hold_folder(tmp_path / name):
            raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(FileExistsError, match="run is a file; give the name of a folder"),
        hold_folder(tmp_path / "run"),
    ):
        pass
    with hold_folder(tmp_path / "link"):
        assert (tmp_path / "elsewhere" / LOCK).is_file()


def test_the_lock_of_a_process_that_is_gone_is_taken_over_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with hold_folder(write_lock(tmp_path, (HOST, ended.pid, "1"))):
        assert json.loads((tmp_path / LOCK).read_text()) == [[HOST, os.getpid(), start_of(os.getpid()), "", ""]]
    assert f"was held by process {ended.pid} on {HOST}, which is gone: it is taken over" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_process_that_nobody_has_asked_for_is_gone(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_lock(tmp_path, (HOST, dead.pid, start_of(dead.pid)))
    with pytest.raises(FileExistsError, match=f"process {dead.pid} "), hold_folder(tmp_path):
        pass
    dead.kill()
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
    with hold_folder(tmp_path):
        assert dead.pid not in (owner[1] for owner in json.loads((tmp_path / LOCK).read_text()))
    dead.communicate()


def test_another_process_of_the_same_number_is_not_the_owner(tmp_path: Path) -> None:
    with hold_folder(write_lock(tmp_path, (HOST, os.getpid(), "1"))):
        pass


def test_one_living_process_of_several_keeps_the_folder(tmp_path: Path) -> None:
    write_lock(tmp_path, (HOST, 2**22 + 1, "1"), (HOST, os.getppid(), start_of(os.getppid())))
    with pytest.raises(FileExistsError, match=f"process {os.getppid()} on {HOST}"), hold_folder(tmp_path):
        pass


def test_a_process_on_another_host_may_live(tmp_path: Path) -> None:
    write_lock(tmp_path, (HOST, 2**22 + 1, "1"), ("node7", 12, "1"))
    message = (
        rf"held by process 12 on node7, and {HOST} cannot see whether it lives; if it has ended, delete .*run.lock$"
    )
    with pytest.raises(FileExistsError, match=message), hold_folder(tmp_path):
        pass


def test_a_run_of_several_hosts_looks_on_each(tmp_path: Path) -> None:
    text = json.dumps([(HOST, 2**22 + 1, "1"), ("node7", 12, "1")])
    write_lock(tmp_path, *json.loads(text))
    own, other = FolderLock(tmp_path).look(), Look(Owner("node7", 40, "9"), text, ())
    with pytest.raises(FileExistsError, match="in use by process 12 on node7"):
        FolderLock(tmp_path).take([own, other._replace(living=(Owner("node7", 12, "1"),))])
    lock = FolderLock(tmp_path)
    lock.take([own, other])
    assert [owner[:2] for owner in json.loads((tmp_path / LOCK).read_text())] == [[HOST, os.getpid()], ["node7", 40]]
    lock.release()


def test_a_job_of_slurm_that_is_queued_again_takes_over_what_it_held_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "812")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    for job, restarts in (("812", "1"), ("811", "0"), ("", "")):
        write_lock(tmp_path, ("node7", 12, "1", job, restarts))
        with pytest.raises(FileExistsError, match="held by process 12 on node7"), hold_folder(tmp_path):
            pass
    with hold_folder(write_lock(tmp_path, ("node7", 12, "1", "812", "0"))):
        assert json.loads((tmp_path / LOCK).read_text())[0][3:] == ["812", "1"]


def test_of_two_that_find_the_same_stale_lock_one_gets_the_folder(tmp_path: Path) -> None:
    write_lock(tmp_path, (HOST, 2**22 + 1, "1"))
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    looks = [first.look()], [second.look()]
    first.take(looks[0])
    with pytest.raises(FileExistsError, match="a run that has just begun"):
        second.take(looks[1])
    second.release()
    assert json.loads((tmp_path / LOCK).read_text())[0][1] == os.getpid()
    first.release()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{", '{"pid": 1}', "[1]", '[["host"]]'])
def test_a_lock_that_names_nobody_is_left_to_the_user(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK).write_text(text)
    message = "run.lock does not say who works there; if no run does, delete it"
    with pytest.raises(FileExistsError, match=message), hold_folder(tmp_path):
        pass
    assert (tmp_path / LOCK).read_text() == text

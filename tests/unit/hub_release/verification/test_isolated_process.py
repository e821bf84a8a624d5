"""What the isolated checks get of this machine, seen by small scripts in their place."""

import os
import sys
from pathlib import Path

import pytest

from chinese_modernbert.hub_release.verification.isolated_process import (
    ProcessFailedError,
    isolated_environment,
    run_script,
)

LOOK_AROUND = """
import json, os, sys
job = json.load(open(sys.argv[1]))
seen = {"typed": sys.stdin.read(), "folder": str(os.listdir()), "given": job["given"], **os.environ}
json.dump([seen], open(job["results"], "w"))
"""


def run(tmp_path: Path, text: str) -> list[dict[str, str]]:
    (tmp_path / "script.py").write_text(text)
    return run_script(tmp_path / "script.py", sys.executable, lambda place: {"given": str(place)})


def test_no_secret_of_the_user_reaches_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "HF_TOKEN", "MY_PASSWORD", "PYTHONPATH"):
        monkeypatch.setenv(name, "of the user")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    [seen] = run(tmp_path, LOOK_AROUND)
    assert "of the user" not in seen.values()
    assert (seen["PATH"], seen["LC_ALL"], seen["folder"]) == (os.environ["PATH"], "C.UTF-8", "[]")


def test_the_process_reads_nothing_from_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "keyboard").write_text("y\n")
    saved = os.dup(0)
    try:
        with (tmp_path / "keyboard").open() as keyboard:
            os.dup2(keyboard.fileno(), 0)
            [seen] = run(tmp_path, LOOK_AROUND)
    finally:
        os.dup2(saved, 0)
        os.close(saved)
    assert seen["typed"] == ""


def test_caches_are_its_own_and_there_is_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "TRANSFORMERS_CACHE"):
        monkeypatch.setenv(name, "of the user")
    environment = isolated_environment(tmp_path)
    assert "of the user" not in environment.values()
    assert environment["HF_HUB_OFFLINE"] == "1"
    for name in ("HF_HOME", "HF_MODULES_CACHE", "XDG_CACHE_HOME"):
        assert Path(environment[name]).parent == tmp_path


def test_a_process_without_results_says_how_it_ended(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailedError, match="ended with 3: no torch here"):
        run(tmp_path, "import sys; print('no torch here', file=sys.stderr); sys.exit(3)")
    with pytest.raises(ProcessFailedError, match="ended with 0"):
        run(tmp_path, "")

import hashlib
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from chinese_modernbert.hub_release.onnx import isolated_check as onnx_isolated_check
from chinese_modernbert.hub_release.verification import isolated_check
from chinese_modernbert.hub_release.verification.isolated_check import (
    BlockedPackage,
    CheckFailedError,
    CheckSkippedError,
    IsolatedChecks,
    digest,
)


@pytest.fixture
def checks() -> Any:
    one = object.__new__(IsolatedChecks)
    one.job, one.torch, one.num_views = {"tolerance": 1e-3}, torch, 0
    return one


@pytest.mark.parametrize("script", [isolated_check, onnx_isolated_check], ids=["release", "onnx"])
def test_the_scripts_load_where_nothing_of_ours_is(script: ModuleType, tmp_path: Path) -> None:
    lines = 'import runpy, sys; sys.modules["chinese_modernbert"] = None; runpy.run_path(sys.argv[1])'
    command = [sys.executable, "-P", "-c", lines, str(script.__file__)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_blocked_package_cannot_be_imported_though_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    importlib.import_module("wave")
    monkeypatch.delitem(sys.modules, "wave")
    monkeypatch.setattr(sys, "meta_path", [BlockedPackage("wave"), *sys.meta_path])
    with pytest.raises(ImportError, match="wave is blocked"):
        importlib.import_module("wave")
    importlib.import_module("chunk" if sys.version_info < (3, 13) else "this")


def test_an_importable_package_fails_the_first_check(
    checks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checks.job["blocked_package"] = "json"
    with pytest.raises(CheckFailedError, match="import json worked"):
        checks.package_is_blocked()
    checks.job["blocked_package"] = "no_such_package"
    assert "no_such_package" in checks.package_is_blocked()
    (tmp_path / "modeling.py").write_text("")
    with pytest.raises(CheckFailedError, match="is not empty"):
        checks.package_is_blocked()


@pytest.mark.parametrize(
    ("given", "expected"),
    [([1.0, 2.0], "has shape"), ([1.0, 2.0, 3.1], "is off by 3"), ([1.0, float("nan"), 3.0], "is off by nan")],
)
def test_other_numbers_fail(checks: Any, given: list[float], expected: str) -> None:
    with pytest.raises(CheckFailedError, match=expected):
        checks.compare("it", torch.tensor(given), torch.tensor([1.0, 2.0, 3.0]))


def test_numbers_within_the_tolerance_pass(checks: Any) -> None:
    assert "3" in checks.compare("it", torch.tensor([1.0, 3.0009]), torch.tensor([1.0, 3.0]))


def raise_(error: BaseException) -> str:
    raise error


@pytest.mark.parametrize(
    ("error", "outcome", "detail"),
    [
        (CheckSkippedError("not installed"), "skip", "not installed"),
        (CheckFailedError("differs"), "fail", "differs"),
        (OSError("first\nsecond"), "fail", "OSError: first"),
        (SystemExit(1), "fail", "SystemExit: 1"),
    ],
)
def test_whatever_a_check_raises_is_its_result(error: BaseException, outcome: str, detail: str) -> None:
    assert IsolatedChecks.outcome("it", lambda: raise_(error)) == {"name": "it", "outcome": outcome, "detail": detail}


def test_a_user_can_still_stop_the_script() -> None:
    with pytest.raises(KeyboardInterrupt):
        IsolatedChecks.outcome("it", lambda: raise_(KeyboardInterrupt()))


def test_every_view_of_the_release_has_a_new_name(checks: Any, tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "config.json").write_text("{}")
    checks.job.update(release=str(tmp_path / "release"), views=str(tmp_path / "views"))
    views = [Path(checks.release()) for _ in range(2)]
    assert views[0].name != views[1].name
    assert all((view / "config.json").read_text() == "{}" for view in views)


def test_digest_tells_values_shapes_and_types_apart() -> None:
    tensors = [torch.zeros(2, 2), torch.zeros(4), torch.zeros(4).half(), torch.tensor([0.0, -0.0, 0.0, 0.0])]
    assert len({digest(tensor) for tensor in tensors}) == len(tensors)
    strided = torch.arange(6.0).reshape(2, 3).T
    assert digest(strided) == digest(strided.contiguous())


def test_digest_is_the_sha256_of_header_and_bytes() -> None:
    expected = hashlib.sha256(b"(1,) torch.float32 \x00\x00\x80\x3f").hexdigest()
    assert digest(torch.ones(1)) == expected

"""Copies of the tiny checkpoint and its release, for tests that break them."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def checkpoint(saved_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def release(saved_release: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_release, tmp_path / "release"))

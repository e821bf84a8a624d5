"""Checkpoints and releases of a tiny model, made once and copied for tests that break them."""

import shutil
from pathlib import Path

import pytest

from chinese_modernbert.hub_release import ReleaseArguments, build_release
from reference.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture(scope="session")
def saved_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("saved") / "checkpoint")


@pytest.fixture(scope="session")
def saved_release(saved_checkpoint: Path) -> Path:
    return build_release(ReleaseArguments(str(saved_checkpoint), str(saved_checkpoint.parent / "release")))


@pytest.fixture
def checkpoint(saved_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def release(saved_release: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_release, tmp_path / "release"))

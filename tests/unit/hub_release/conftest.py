"""Copies of the tiny checkpoint and its release, for tests that break them; search models and their releases."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from chinese_modernbert.hub_release import ReleaseArguments, build_release


@pytest.fixture
def checkpoint(saved_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def release(saved_release: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_release, tmp_path / "release"))


@pytest.fixture(scope="session")
def saved_model(saved_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of one of `search_models.MODELS`, made once."""
    search_models = pytest.importorskip("reference.search_models")

    @cache
    def folder_of(name: str) -> Path:
        return search_models.save(name, saved_checkpoint, tmp_path_factory.mktemp("search") / "model")

    return folder_of


@pytest.fixture(scope="session")
def model_release(saved_model: Callable[[str], Path]) -> Callable[[str], Path]:
    """Return the release of one of `search_models.MODELS`, built once."""

    @cache
    def release_of(name: str) -> Path:
        folder = saved_model(name)
        return build_release(ReleaseArguments(str(folder), str(folder.with_name("release"))))

    return release_of

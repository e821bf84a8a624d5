"""Data of a small pre-training run, made once, a maker of its arguments, and the fixtures of the tests of `prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from reference.pretraining_run import Run, make_data, settings
from reference.small_corpus import arguments, corpus, many, texts, tokenizer_folder

__all__ = ["arguments", "corpus", "many", "texts", "tokenizer_folder"]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tokenizer and shards for training and evaluation."""
    folder = tmp_path_factory.mktemp("data")
    make_data(folder)
    return folder


@pytest.fixture
def make_run(data: Path, tmp_path: Path) -> Run:
    """Return a maker of arguments for a run of two stages."""

    def make(name: str = "run", **changes: Any) -> PretrainingArguments:
        return load_recipe([PretrainingArguments], None, {**settings(data, tmp_path / name), **changes})[0]

    return make

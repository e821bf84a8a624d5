"""Data and arguments of a small pre-training run, the model of pages and notebooks, and the fixtures of `prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from chinese_modernbert.cli import SHIPPED_TOKENIZER
from chinese_modernbert.hub_release.arguments import ReleaseArguments
from chinese_modernbert.hub_release.builder import build_release
from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.tokenization import load_tokenizer, save_tokenizer
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from reference.pretraining_run import Run, make_data, settings
from reference.small_corpus import arguments, corpus, many, texts, tokenizer_folder

__all__ = ["arguments", "corpus", "many", "texts", "tokenizer_folder"]
SIZES: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4}


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


@pytest.fixture(scope="session")
def page_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `checkpoint` and its release `my-model`, tiny and random, with the shipped tokenizer."""
    folder = tmp_path_factory.mktemp("page_model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ChineseModernBertForMaskedLM(ChineseModernBertConfig.preset("tiny", **SIZES))
    model.save_pretrained(folder / "checkpoint")
    save_tokenizer(load_tokenizer(SHIPPED_TOKENIZER), folder / "checkpoint")
    build_release(ReleaseArguments(str(folder / "checkpoint"), str(folder / "my-model")))
    return folder

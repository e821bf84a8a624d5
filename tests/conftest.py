"""Shared fixtures, a tiny model with its twin and the folder of real data, and the end of what tests have started."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from transformers import ModernBertConfig, ModernBertForMaskedLM

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from reference import processes
from reference.tiny_checkpoint import write_tiny_checkpoint

SIZES = {
    "vocab_size": 211,
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    # Large enough that attention is far from uniform, so that a wrong mask or window shows in the numbers.
    "initializer_range": 0.2,
}


@pytest.fixture(scope="session", autouse=True)
def no_process_outlives_the_tests() -> Iterator[None]:
    """Fail if a process that a test has started, by whatever means, is alive after the last one."""
    os.environ[processes.MARK] = mark = uuid.uuid4().hex
    yield
    left = processes.left_over(mark)
    assert not left, f"processes are alive after the last test: {left}"


def pytest_runtest_teardown() -> None:
    """End the commands that a test has started and not ended, because it failed or was interrupted."""
    processes.end_all()


@pytest.fixture
def tiny_config() -> Callable[..., ChineseModernBertConfig]:
    """Return a maker of small configurations."""

    def make(**overrides: object) -> ChineseModernBertConfig:
        return ChineseModernBertConfig(**{**SIZES, **overrides})

    return make


@pytest.fixture
def twins() -> tuple[ModernBertForMaskedLM, ChineseModernBertForMaskedLM]:
    """Return Transformers' ModernBERT (eager, float32) and ours with the same weights."""
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    theirs = ModernBertForMaskedLM(ModernBertConfig(**SIZES, **ids, attn_implementation="eager")).eval()
    with torch.no_grad():  # trained norms and biases are not at their initial values
        for name, parameter in theirs.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                parameter.normal_()
    config = ChineseModernBertConfig(
        **SIZES, norm_type="layernorm", global_rope_theta=160_000.0, local_rope_theta=10_000.0
    )
    ours = ChineseModernBertForMaskedLM(config).eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@pytest.fixture(scope="session")
def saved_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of a tiny model with its tokenizer, for tests that leave it as it is."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("saved") / "checkpoint")


@pytest.fixture(scope="session")
def saved_release(saved_checkpoint: Path) -> Path:
    """Return the release of that checkpoint, for tests that leave it as it is."""
    from chinese_modernbert.hub_release.builder import ReleaseArguments, build_release  # not needed by most tests

    return build_release(ReleaseArguments(str(saved_checkpoint), str(saved_checkpoint.parent / "release")))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real texts, or skip."""
    folder = os.environ.get("CHINESE_MODERNBERT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CHINESE_MODERNBERT_DATA is not set to a folder of real texts")
    return Path(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of a megabyte and a half, or skip."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)

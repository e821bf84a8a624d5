"""FSDP2 as accelerate applies it to this model on GPUs, here on the CPU: the same numbers as the whole model."""

import json
from pathlib import Path
from typing import Any

import pytest

from reference.torchrun import finish, start

REFERENCE = Path(__file__).parents[1] / "reference"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what process 0 found."""
    folder = tmp_path_factory.mktemp("sharded")
    processes = start([str(REFERENCE / "sharded_training.py"), str(folder)], folder)
    assert finish(processes) == [0], (folder / "err-0.txt").read_text()
    return json.loads((folder / "said-0.json").read_text())


def test_a_sharded_model_learns_as_the_whole_one_does(said: dict[str, Any]) -> None:
    assert said["sharded"] == said["parameters"] > 0
    assert said["losses"] == pytest.approx(said["twin_losses"], rel=1e-5)
    assert said["losses"][-1] < said["losses"][0]
    assert said["difference"] < 1e-5


def test_the_embedding_and_the_decoder_stay_one_matrix_when_sharded(said: dict[str, Any]) -> None:
    assert said["tied"]


def test_a_sharded_model_saved_whole_goes_on_bit_for_bit(said: dict[str, Any]) -> None:
    assert said["resumed"] == said["went_on"]


def test_the_residual_stream_of_a_sharded_model_keeps_a_mean_of_zero(said: dict[str, Any]) -> None:
    assert said["residual_mean"] < 1e-6

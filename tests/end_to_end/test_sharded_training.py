"""FSDP2 as accelerate applies it to this model on GPUs, here on the CPU: the same numbers as the whole model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from reference.torchrun import finish, start

REFERENCE = Path(__file__).parents[1] / "reference"


@pytest.fixture(scope="module", params=["stable_adamw", "muon"])
def said(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what process 0 found."""
    if request.param == "muon" and not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    folder = tmp_path_factory.mktemp("sharded")
    processes = start([str(REFERENCE / "sharded_training.py"), str(folder), request.param], folder)
    assert finish(processes) == [0], (folder / "err-0.txt").read_text()
    return json.loads((folder / "said-0.json").read_text()) | {"optimizer": request.param}


def test_a_sharded_model_learns_as_the_whole_one_does(said: dict[str, Any]) -> None:
    assert said["sharded"] == said["parameters"] > 0
    # Gradients agree up to the order of sums; Muon rounds them to bfloat16, where a last bit weighs more.
    is_rounded = said["optimizer"] == "muon"
    assert said["losses"] == pytest.approx(said["twin_losses"], rel=1e-3 if is_rounded else 1e-5)
    assert said["losses"][-1] < said["losses"][0]
    assert is_rounded or said["difference"] < 1e-5


def test_under_the_same_gradients_a_step_of_the_optimizer_is_that_of_the_whole_model(said: dict[str, Any]) -> None:
    assert said["step_difference"] < 3e-7


def test_the_average_of_a_sharded_model_is_that_of_the_whole_one(said: dict[str, Any]) -> None:
    if said["optimizer"] != "muon":  # whose own steps differ by what bfloat16 rounds
        assert said["averaged"] < 1e-5
        assert said["averaged_logits"] < 1e-4
    assert said["has_its_own_again"]
    assert said["went_on_average"] == 0.0


def test_the_embedding_and_the_decoder_stay_one_matrix_when_sharded(said: dict[str, Any]) -> None:
    assert said["tied"]


def test_a_sharded_model_saved_whole_goes_on_bit_for_bit(said: dict[str, Any]) -> None:
    assert said["resumed"] == said["went_on"]


def test_the_residual_stream_of_a_sharded_model_keeps_a_mean_of_zero(said: dict[str, Any]) -> None:
    assert said["residual_mean"] < 1e-6

"""LoRA: what it trains, on which layers, and that merging changes no number."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModel

from chinese_modernbert.evaluation.clue.tasks import TASKS
from chinese_modernbert.trainers.clue.models import build_model, encoder_of
from chinese_modernbert.trainers.lora import add_lora, merge_lora
from reference.tiny_bert import write_tiny_bert
from reference.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture(scope="module", params=["chinese_modernbert", "bert"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    write = write_tiny_bert if request.param == "bert" else write_tiny_checkpoint
    return str(write(tmp_path_factory.mktemp(request.param)))


def test_every_linear_layer_of_our_encoder_gets_an_adapter(tmp_path: Path) -> None:
    encoder = AutoModel.from_pretrained(write_tiny_checkpoint(tmp_path))
    linear = {name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)}
    assert {name.rpartition(".")[2] for name in linear} == {"Wqkv", "Wo", "Wi"}
    add_lora(encoder, rank=2, alpha=4)
    trained = {name for name, value in encoder.named_parameters() if value.requires_grad}
    assert trained == {f"{name}.lora_{part}.default.weight" for name in linear for part in "AB"}


@pytest.mark.parametrize("name", ["afqmc", "cluewsc2020", "c3", "cmrc2018"])
def test_lora_trains_the_head_and_its_own_matrices_only(name: str, checkpoint: str) -> None:
    model = build_model(TASKS[name], checkpoint)
    add_lora(encoder_of(model), rank=4, alpha=8)
    trained = [key for key, value in model.named_parameters() if value.requires_grad]
    assert any("lora_" in key for key in trained)
    others = [key for key in trained if "lora_" not in key]
    assert others and all(("classifier" in key) or ("qa_outputs" in key) or ("head" in key) for key in others)


def test_merged_lora_gives_the_same_numbers_without_any_adapter(checkpoint: str) -> None:
    model = build_model(TASKS["afqmc"], checkpoint).eval()
    add_lora(encoder_of(model), rank=4, alpha=8)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if "lora_" in key:
                value.normal_(std=0.1)
    ids = torch.tensor([[2, 10, 11, 3]])
    before = model(input_ids=ids).logits
    merge_lora(model)
    assert torch.allclose(model(input_ids=ids).logits, before, atol=1e-4)
    assert not any("lora" in key for key in model.state_dict())
    assert any(isinstance(module, nn.Linear) for module in model.modules())

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.trainers.pretraining.averages import WeightAveraging
from chinese_modernbert.trainers.zero_mean_residual import center_residual

SIZES = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}


def small_model() -> ChineseModernBertForMaskedLM:
    torch.manual_seed(0)
    return ChineseModernBertForMaskedLM(ChineseModernBertConfig(**SIZES))


@torch.no_grad()
def move(model: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=generator))


def averaged(averages: WeightAveraging, model: nn.Module) -> dict[str, torch.Tensor]:
    with averages.in_place(model):
        return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def test_it_is_the_average_written_out_with_its_warm_up() -> None:
    model = nn.Linear(3, 2)
    averages, expected = WeightAveraging(0.6), None
    for step, decay in enumerate([0.0, 2 / 11, 3 / 12, 4 / 13, 5 / 14, 6 / 15, 7 / 16, 8 / 17, 9 / 18]):
        move(model, step)
        averages.follow(model)
        weight = model.weight.detach().double()
        expected = weight if expected is None else decay * expected + (1 - decay) * weight
    torch.testing.assert_close(averaged(averages, model)["weight"].double(), expected, rtol=1e-5, atol=1e-6)
    for step in range(9, 40):
        move(model, step)
        averages.follow(model)
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach().double()
    torch.testing.assert_close(averaged(averages, model)["weight"].double(), expected, rtol=1e-5, atol=1e-6)


def test_weights_of_half_precision_are_averaged_in_float32() -> None:
    model = nn.Linear(1, 1, bias=False).bfloat16()
    averages = WeightAveraging(0.999)
    averages.updates = 10**6
    averages._averages = {"weight": torch.zeros(1, 1)}
    with torch.no_grad():
        model.weight.fill_(1.0)
    for _ in range(100):
        averages.follow(model)
    assert averages._averages["weight"].item() == pytest.approx(1 - 0.999**100, rel=1e-5)


def test_the_model_has_its_own_weights_again_bit_for_bit_even_after_an_error() -> None:
    model = small_model()
    averages = WeightAveraging(0.9)
    averages.follow(model)
    move(model, 1)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(KeyError), averages.in_place(model):
        assert not torch.equal(model.head.dense.weight, before["head.dense.weight"])
        assert model.decoder.weight is model.model.embeddings.tok_embeddings.weight
        raise KeyError
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_average_that_was_saved_goes_on_bit_for_bit(tmp_path: Path) -> None:
    model = small_model()
    averages, again = WeightAveraging(0.9), WeightAveraging(0.9)
    again.load(tmp_path)
    assert again.updates == 0
    for step in range(3):
        move(model, step)
        averages.follow(model)
    averages.save(model, tmp_path, writes=True)
    again.load(tmp_path)
    for step in range(3, 6):
        move(model, step)
        averages.follow(model)
        again.follow(model)
    one, other = averaged(averages, model), averaged(again, model)
    assert averages.updates == again.updates == 6
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_average_of_weights_with_a_residual_mean_of_zero_has_one_too() -> None:
    model = small_model()
    averages = WeightAveraging(0.9)
    for step in range(5):
        move(model, step)
        center_residual(model)
        averages.follow(model)
    with averages.in_place(model):
        assert model.residual_mean() < 1e-6


def test_a_step_that_changes_no_weight_does_not_count() -> None:
    averages, model = WeightAveraging(0.9), nn.Linear(2, 2)
    nothing = cast(Any, SimpleNamespace())
    for is_skipped in (False, True, False):
        averages.skips_next = is_skipped
        averages.on_optimizer_step(nothing, nothing, nothing, model=model)
    assert averages.updates == 2


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5])
def test_a_decay_outside_its_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=f"ema_decay={decay} is outside"):
        WeightAveraging(decay)

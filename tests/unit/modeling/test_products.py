"""Products on a CPU: the numbers of torch's own operator, first and second gradients, and no layer passed over."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from chinese_modernbert.modeling import ChineseModernBertForMaskedLM
from chinese_modernbert.modeling import products_chinese_modernbert as products


@pytest.fixture(autouse=True)
def onednn() -> object:
    """Compute products in oneDNN, and by the rule again after the test."""
    products.set_products("onednn")
    yield
    products.set_products("auto")


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with every product that oneDNN computes."""
    calls, exact = [], products._onednn
    monkeypatch.setattr(products, "_onednn", lambda *given: calls.append(1) or exact(*given))
    return calls


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inside", "outside"), [(24, 40), (40, 24), (8, 8)])
def test_a_layer_and_its_gradients_are_those_of_torch(inside: int, outside: int, bias: bool, monkeypatch) -> None:
    calls = counted(monkeypatch)
    layer, twin = nn.Linear(inside, outside, bias=bias), nn.Linear(inside, outside, bias=bias)
    twin.load_state_dict(layer.state_dict())
    states = torch.randn(2, 5, inside, requires_grad=True)
    other = states.detach().clone().requires_grad_()
    found, expected = products.linear(layer, states), twin(other)
    torch.testing.assert_close(found, expected)
    for result, given, whose in ((found, states, layer), (expected, other, twin)):
        (gradient,) = torch.autograd.grad(result.square().sum(), given, create_graph=True)
        (gradient.square().sum() + result.sum()).backward()
        assert all(parameter.grad is not None for parameter in whose.parameters())
    assert calls
    torch.testing.assert_close(states.grad, other.grad)
    for one, another in zip(layer.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, another.grad)
        assert one.grad.is_contiguous()
    with torch.inference_mode():
        torch.testing.assert_close(products.linear(layer, states), expected)


def test_numeric_gradients_agree() -> None:
    left, right = torch.randn(4, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    assert torch.autograd.gradcheck(products.product, (left, right), eps=1e-2, atol=1e-2, rtol=1e-2)


def test_a_model_trains_alike_by_either_library(tiny_config, monkeypatch) -> None:
    calls, gradients, ids = counted(monkeypatch), [], torch.arange(5, 105).view(2, 50)
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(tiny_config())
    for name in ("onednn", "torch"):
        products.set_products(name)
        calls.clear()
        model.zero_grad()
        model(ids, labels=ids).loss.backward()
        assert bool(calls) is (name == "onednn")
        gradients.append({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-6)


class Doubled(nn.Linear):
    """A layer that does more than a product."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(input)


def hooked(layer: nn.Linear) -> nn.Linear:
    layer.register_forward_hook(lambda *given: 2 * given[2])
    return layer


def replaced(layer: nn.Linear) -> nn.Linear:  # as accelerate does to move weights
    old = layer.forward
    layer.forward = lambda states: 2 * old(states)
    return layer


@pytest.mark.parametrize("changed", [lambda layer: Doubled(8, 8, bias=False), hooked, replaced])
def test_a_layer_that_does_more_is_called(changed) -> None:
    torch.manual_seed(0)
    layer = changed(nn.Linear(8, 8, bias=False))
    states = torch.randn(3, 8)
    torch.testing.assert_close(products.linear(layer, states), 2 * states @ layer.weight.t())


def test_lora_acts_and_other_dtypes_and_transforms_go_to_torch(tiny_config, monkeypatch) -> None:
    torch.manual_seed(0)
    ids = torch.arange(5, 55).view(1, 50)
    model = ChineseModernBertForMaskedLM(tiny_config()).eval()
    adapted = get_peft_model(copy.deepcopy(model), LoraConfig(target_modules=["Wqkv"], init_lora_weights=False))
    assert not torch.allclose(adapted(ids).logits, model(ids).logits)
    calls, layer, states = counted(monkeypatch), nn.Linear(8, 8), torch.randn(3, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert products.linear(layer, states).dtype == torch.bfloat16
    assert products.linear(nn.Linear(8, 8).double(), states.double()).dtype == torch.float64
    assert products.linear(layer, states[:0]).shape == (0, 8)
    torch.testing.assert_close(products.linear(layer, states[0]), layer(states)[0])
    mapped = torch.func.vmap(torch.func.grad(lambda one: products.linear(layer, one).sum()))(states)
    torch.testing.assert_close(mapped, layer.weight.sum(0).expand(3, 8))
    assert not calls


def test_the_rule_and_its_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert products.set_products("torch") == "torch"
    monkeypatch.setattr(products, "_is_amd_with_avx512", lambda: True)
    assert products.set_products("auto") == "onednn"
    monkeypatch.setattr(products, "_is_amd_with_avx512", lambda: False)
    assert products.set_products("auto") == "torch"
    with pytest.raises(ValueError, match="products='mkl' is unknown; use one of auto, torch, onednn"):
        products.set_products("mkl")
    # A torch without the operator: the rule falls back, a choice by name is refused.
    monkeypatch.setattr(products, "_has_onednn", lambda: False)
    monkeypatch.setattr(products, "_is_amd_with_avx512", lambda: True)
    assert products.set_products("auto") == "torch"
    with pytest.raises(ValueError, match=r"products='onednn' is not in torch .*; use 'torch' or 'auto'"):
        products.set_products("onednn")


def test_an_operator_that_is_gone_or_wrong_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> torch.Tensor:
        raise AttributeError("no such operator")

    for broken in (gone, lambda left, right, bias=None: left @ right.t() + 1):
        monkeypatch.setattr(products, "_onednn", broken)
        assert products._has_onednn.__wrapped__() is False

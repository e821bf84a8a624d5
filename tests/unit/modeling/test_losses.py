"""The cross-entropy against torch's own: values, gradients, ignored rows, double gradients, and what it keeps."""

import pytest
import torch

from chinese_modernbert.modeling import losses_chinese_modernbert as losses


@pytest.mark.parametrize("at_once", [1, 50, 2**21])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_torch(dtype: torch.dtype, at_once: int, monkeypatch) -> None:
    monkeypatch.setattr(losses, "CPU_LOGITS", at_once)
    torch.manual_seed(0)
    logits = (5 * torch.randn(7, 11)).to(dtype).requires_grad_()
    twin = logits.detach().clone().requires_grad_()
    labels = torch.tensor([3, -100, 0, 10, -100, 5, 5])
    found = losses.labelled_cross_entropy(logits, labels, num_items_in_batch=9)
    exact = twin if dtype == torch.float64 else twin.float()
    expected = torch.nn.functional.cross_entropy(exact, labels, reduction="sum") / 9
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    torch.testing.assert_close(logits.grad, twin.grad)


def test_second_gradients_agree() -> None:
    logits = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([1, -100, 4, 0])
    assert torch.autograd.gradgradcheck(lambda given: losses.labelled_cross_entropy(given, labels), logits)


def test_nothing_is_kept_but_the_logits_themselves() -> None:
    logits = torch.randn(64, 100).bfloat16().requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        losses.labelled_cross_entropy(logits, torch.arange(64))
    assert sum(tensor.numel() * tensor.element_size() for tensor in kept) < 64 * 100 * 2 + 64 * 8 + 64
    assert any(tensor.data_ptr() == logits.data_ptr() for tensor in kept)


def test_one_label_for_each_row() -> None:
    with pytest.raises(ValueError, match="there are 3 labels for 4 rows of logits; give one for each"):
        losses.labelled_cross_entropy(torch.randn(4, 5), torch.tensor([1, 2, 3]))

import pytest
import torch
from torch import nn

from chinese_modernbert.trainers.pretraining.optimizers import StableAdamW, build_optimizer, parameter_groups
from reference.stable_adamw import stable_adamw


def run(optimizer_class: type, gradients: list[list[float]], **options: object) -> torch.Tensor:
    weights = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer = optimizer_class([weights], **options)
    for gradient in gradients:
        weights.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    return weights.detach()


GRADIENTS = [[0.1, -0.2, 0.3], [0.1, -0.1, 5.0], [30.0, 0.0, -1.0], [0.0, 0.0, 0.0], [1e-9, 2.0, 0.1]]


def test_stable_adamw_equals_the_plain_python_twin() -> None:
    options = {"lr": 1e-2, "betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 1e-3}
    expected = stable_adamw([0.5, -1.0, 2.0], GRADIENTS, **options)  # type: ignore[arg-type]
    assert run(StableAdamW, GRADIENTS, **options).tolist() == pytest.approx(expected, rel=1e-9)


def test_without_a_jump_in_the_gradient_stable_adamw_is_torch_adamw() -> None:
    steady = [[0.1, -0.2, 0.3]] * 20
    options = {"lr": 1e-2, "betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": 0.1}
    ours = run(StableAdamW, steady, decoupled=False, **options)
    assert torch.allclose(ours, run(torch.optim.AdamW, steady, **options), atol=1e-9)


def test_a_gradient_a_thousand_times_larger_moves_the_weights_less_than_adamw_does() -> None:
    jump = [[0.01, -0.02, 0.03]] * 10 + [[10.0, -20.0, 30.0]]
    options = {"lr": 1e-2, "betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": 0.0}
    before = run(StableAdamW, jump[:-1], **options)
    stable, plain = run(StableAdamW, jump, **options) - before, run(torch.optim.AdamW, jump, **options) - before
    assert stable.abs().max() < 0.4 * plain.abs().max()


def test_decoupled_decay_does_not_depend_on_the_learning_rate() -> None:
    nothing = [[0.0, 0.0, 0.0]]
    shrunk = [run(StableAdamW, nothing, lr=lr, weight_decay=0.01) for lr in (1e-4, 1e-1)]
    assert torch.allclose(shrunk[0], shrunk[1])
    assert shrunk[0][2].item() == pytest.approx(2.0 * 0.99)


def test_the_group_without_decay_holds_norms_and_biases_and_nothing_else() -> None:
    model = nn.Sequential(nn.Embedding(100, 8), nn.LayerNorm(8), nn.Linear(8, 16), nn.RMSNorm(16), nn.Linear(16, 100))
    decayed, free = parameter_groups(model, 0.3)
    assert sum(p.numel() for p in decayed["params"]) == 100 * 8 + 8 * 16 + 16 * 100
    assert sum(p.numel() for p in free["params"]) == 8 + 8 + 16 + 16 + 100
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)


def test_a_tied_matrix_and_a_frozen_one_are_counted_once_and_never() -> None:
    model = nn.ModuleList([nn.Embedding(10, 4), nn.Linear(4, 10, bias=False), nn.Linear(4, 4, bias=False)])
    model[1].weight = model[0].weight
    model[2].weight.requires_grad_(False)
    decayed, free = parameter_groups(model, 0.1)
    assert sum(p.numel() for p in decayed["params"]) == 40
    assert free["params"] == []


def test_a_restored_optimizer_takes_the_same_step() -> None:
    options = {"lr": 1e-2, "weight_decay": 1e-3}
    straight = run(StableAdamW, GRADIENTS, **options)
    weights = run(StableAdamW, GRADIENTS[:3], **options).requires_grad_()
    first = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    old = StableAdamW([first], **options)
    for gradient in GRADIENTS[:3]:
        first.grad = torch.tensor(gradient, dtype=torch.float64)
        old.step()
    new = StableAdamW([weights], **options)
    new.load_state_dict(old.state_dict())
    for gradient in GRADIENTS[3:]:
        weights.grad = torch.tensor(gradient, dtype=torch.float64)
        new.step()
    assert torch.equal(straight, weights.detach())


@pytest.mark.parametrize("wrong", [{"lr": 0.0}, {"eps": -1.0}, {"weight_decay": -1.0}, {"betas": (0.9, 1.0)}])
def test_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StableAdamW([torch.zeros(1, requires_grad=True)], **wrong)  # type: ignore[arg-type]


def test_an_unknown_optimizer_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'lamb'.*stable_adamw"):
        build_optimizer("lamb", nn.Linear(2, 2), lr=1e-3)

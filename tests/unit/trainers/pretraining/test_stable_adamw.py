import pytest
import torch

from chinese_modernbert.trainers.pretraining.optimizers import stable_adamw as module
from chinese_modernbert.trainers.pretraining.optimizers.stable_adamw import StableAdamW
from reference.stable_adamw import PerTensorStableAdamW, stable_adamw

# One that is cut, one whose rows lie apart in memory, small ones that share a batch.
SHAPES = [(300, 7), (40, 30), (5,), (1,), (8, 8)]


def weights_of(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made = [torch.randn(shape, generator=generator) for shape in SHAPES]
    made[1] = made[1].T
    return [tensor.requires_grad_() for tensor in made]


def train_beside_the_twin(growth: float) -> tuple[list[torch.Tensor], list[torch.Tensor], PerTensorStableAdamW]:
    """Return weights after eight steps, ours and the twin's; the last tensor has a gradient in every other step."""
    ours, expected = weights_of(0), weights_of(0)
    optimizer = StableAdamW(ours, lr=1e-2, weight_decay=1e-3)
    twin = PerTensorStableAdamW(expected, lr=1e-2, weight_decay=1e-3)
    for step in range(8):
        generator = torch.Generator().manual_seed(step)
        for one, other in zip(ours, expected, strict=True):
            one.grad = torch.randn(one.shape, generator=generator) * 1e-4 * growth**step
            other.grad = one.grad.clone()
        if step % 2:
            ours[-1].grad = expected[-1].grad = None
        optimizer.step()
        twin.step()
    return ours, expected, twin


def run(optimizer_class: type, gradients: list[list[float]], **options: object) -> torch.Tensor:
    weights = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer = optimizer_class([weights], **options)
    for gradient in gradients:
        weights.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    return weights.detach()


GRADIENTS = [[0.1, -0.2, 0.3], [0.1, -0.1, 5.0], [30.0, 0.0, -1.0], [0.0, 0.0, 0.0], [1e-9, 2.0, 0.1]]


@pytest.mark.parametrize("limit", [64, 2**18])
def test_batches_of_tensors_equal_the_tensor_by_tensor_twin(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CPU_ELEMENTS", limit)
    ours, expected, twin = train_beside_the_twin(growth=3.0)
    assert all(twin.clipped)
    assert sum(twin.clipped) < 8 * len(SHAPES)
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    if limit > max(weight.numel() for weight in ours):
        assert all(torch.equal(one, other) for one, other in zip(ours, expected, strict=True))


def test_where_nothing_is_clipped_cut_tensors_have_the_twins_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CPU_ELEMENTS", 64)
    ours, expected, twin = train_beside_the_twin(growth=0.5)
    for one, other, clipped in zip(ours, expected, twin.clipped, strict=True):
        assert clipped or torch.equal(one, other)
    assert twin.clipped[0] == 0


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

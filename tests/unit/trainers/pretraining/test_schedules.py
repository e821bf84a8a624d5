import io
import math

import pytest
import torch

from chinese_modernbert.trainers.pretraining.schedules import SCHEDULES, DampedCosine, LinearWarmup, build_schedule

POINTS = (0, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.75, 0.9, 1)
VECTORS = {  # cycles, gamma -> learning rate at POINTS for peak 5e-4 and floor 5e-5
    (1, 0.1): (5e-4, 4.4949e-4, 3.9090e-4, 3.6004e-4, 3.0833e-4, 2.1250e-4, 1.0915e-4, 7.0612e-5, 5e-5),
    (2, 0.5): (5e-4, 4.2450e-4, 2.9292e-4, 2.3478e-4, 1.8333e-4, 2.6250e-4, 2.8138e-4, 1.1225e-4, 5e-5),
    (3, 0.5): (5e-4, 3.5250e-4, 2.1000e-4, 2.3478e-4, 3.5833e-4, 2.6250e-4, 2.8138e-4, 1.7250e-4, 5e-5),
}


def rates(name: str, steps: int = 100, warmup: int = 10) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    schedule = build_schedule(name, optimizer, warmup, steps)
    values = []
    for _ in range(steps + 1):
        values.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return values


@pytest.mark.parametrize(("settings", "expected"), VECTORS.items())
def test_damped_cosine_gives_the_published_vectors(settings: tuple[int, float], expected: tuple[float, ...]) -> None:
    schedule = DampedCosine(cycles=settings[0], gamma=settings[1], floor=0.1)
    assert [5e-4 * schedule(p) for p in POINTS] == pytest.approx(expected, rel=3e-5)


@pytest.mark.parametrize("cycles", [1, 2, 3, 5])
def test_damped_cosine_starts_at_the_peak_ends_at_the_floor_and_has_n_valleys(cycles: int) -> None:
    schedule = DampedCosine(cycles=cycles, gamma=0.7, floor=0.05)
    values = [schedule(i / 4000) for i in range(4001)]
    valleys = sum(b < a and b <= c for a, b, c in zip(values, values[1:], [*values[2:], math.inf], strict=False))
    assert values[0] == pytest.approx(1.0)
    assert values[-1] == pytest.approx(0.05)
    assert valleys == cycles


def test_gamma_under_the_floor_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"gamma=0.05 .*0.1"):
        DampedCosine(gamma=0.05, floor=0.1)


@pytest.mark.parametrize("wrong", [{"cycles": 0}, {"floor": -0.1}, {"floor": 0.6}, {"gamma": 1.1}])
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DampedCosine(**wrong)  # type: ignore[arg-type]


def test_warm_up_is_linear_from_zero_and_the_decay_starts_where_it_ends() -> None:
    schedule = LinearWarmup(warmup_steps=50, max_steps=1050, decay=lambda p: 1 - p)
    assert [schedule(s) for s in (0, 25, 50, 550, 1050)] == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_a_warm_up_as_long_as_the_run_is_refused() -> None:
    with pytest.raises(ValueError, match="warmup_steps=20"):
        LinearWarmup(20, 20, lambda p: p)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_warms_up_and_ends_at_its_floor(name: str) -> None:
    values = rates(name)
    assert values[0] == 0
    assert values[5] == pytest.approx(1.0)
    assert values[10] == pytest.approx(2.0)
    assert values[-1] == pytest.approx(0.0 if name == "linear" else 0.2, abs=1e-6)


def test_the_schedule_in_the_optimizer_is_the_pure_function() -> None:
    pure = LinearWarmup(10, 100, DampedCosine())
    assert rates("damped_cosine") == pytest.approx([2.0 * pure(step) for step in range(101)])


def test_an_unknown_schedule_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'cosin'.*damped_cosine"):
        rates("cosin")


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_state_of_a_schedule_is_plain_numbers(name: str) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    state = build_schedule(name, optimizer, 2, 10).state_dict()
    # Transformers' own schedules are partial functions of these very functions, which the safe loader knows.
    own = name in ("damped_cosine", "warmup_stable_decay")
    assert not own or all(one is None for one in state["lr_lambdas"])
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=True)["last_epoch"] == 0

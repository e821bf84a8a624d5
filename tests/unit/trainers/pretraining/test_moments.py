"""An optimizer that begins with another run's moments takes the step that the other would take at the new rate."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from chinese_modernbert.trainers.pretraining.optimizers import build_optimizer, check_moments, take_moments
from reference.pretraining_run import needs_muon


def make_model(width: int = 8) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(10, width), nn.Linear(width, 6), nn.LayerNorm(6))


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    ids = torch.randint(0, 10, (4,), generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    (model(ids) ** 3).sum().backward()
    optimizer.step()


def trained(name: str, folder: Path) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return a model after some steps, with its optimizer, whose state lies in the folder as the Trainer saves it."""
    model = make_model()
    optimizer = build_optimizer(name, model, 1e-2)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)  # it writes into the groups, as in a run
    for seed in range(5):
        step(model, optimizer, seed)
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    return model, optimizer


@pytest.mark.parametrize("name", ["stable_adamw", "adamw", pytest.param("muon", marks=needs_muon)])
def test_the_next_step_is_that_of_the_other_run_at_the_new_rate(name: str, tmp_path: Path) -> None:
    model, old = trained(name, tmp_path)
    twin, fresh = copy.deepcopy(model), copy.deepcopy(model)
    new = build_optimizer(name, twin, 1e-3)
    take_moments(new, tmp_path)
    for optimizer in (old, new):  # as a schedule sets it in the middle of a run
        for group in optimizer.param_groups:
            group["lr"] = 1e-3
            group["weight_decay"] = 0.0
    step(model, old, 9)
    step(twin, new, 9)
    step(fresh, build_optimizer(name, fresh, 1e-3), 9)
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), twin.parameters(), strict=True))
    assert not torch.equal(next(model.parameters()), next(fresh.parameters()))


def test_rates_and_decay_stay_those_of_the_new_run(tmp_path: Path) -> None:
    model, _ = trained("stable_adamw", tmp_path)
    new = build_optimizer("stable_adamw", model, 3e-4, weight_decay=0.5)
    take_moments(new, tmp_path)
    assert [(group["lr"], group["weight_decay"]) for group in new.param_groups] == [(3e-4, 0.5), (3e-4, 0.0)]


@pytest.mark.parametrize(
    ("name", "options", "width", "message"),
    [
        ("adamw", {}, 8, "is of another optimizer or model"),
        (
            "stable_adamw",
            {"weight_decay_embeddings": 0.1},
            8,
            r"groups have \[2, 3\] parameters, those here \[1, 1, 3\]",
        ),
        ("stable_adamw", {}, 9, r"'exp_avg' of parameter 0 is \(10, 8\), expected \(10, 9\)"),
    ],
)
def test_moments_of_another_optimizer_or_model_are_refused(
    name: str, options: dict[str, Any], width: int, message: str, tmp_path: Path
) -> None:
    trained("stable_adamw", tmp_path)
    with pytest.raises(ValueError, match=message):
        take_moments(build_optimizer(name, make_model(width), 1e-2, **options), tmp_path)


def test_a_folder_without_an_optimizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no optimizer\.pt; give the checkpoint-N of a run as model"):
        check_moments(tmp_path)

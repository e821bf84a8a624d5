import copy
import logging

import pytest
import torch
from torch import nn

from chinese_modernbert.trainers.pretraining.optimizers import build_optimizer, parameter_groups


def test_the_group_without_decay_holds_norms_and_biases_and_nothing_else() -> None:
    model = nn.Sequential(nn.Embedding(100, 8), nn.LayerNorm(8), nn.Linear(8, 16), nn.RMSNorm(16), nn.Linear(16, 100))
    hidden, embeddings, free = parameter_groups(model, 0.3)
    assert sum(p.numel() for p in hidden["params"]) == 8 * 16 + 16 * 100
    assert sum(p.numel() for p in embeddings["params"]) == 100 * 8
    assert sum(p.numel() for p in free["params"]) == 8 + 8 + 16 + 16 + 100
    assert [group["weight_decay"] for group in (hidden, embeddings, free)] == [0.3, 0.3, 0.0]


def test_a_tied_matrix_and_a_frozen_one_are_counted_once_and_never() -> None:
    model = nn.ModuleList([nn.Embedding(10, 4), nn.Linear(4, 10, bias=False), nn.Linear(4, 4, bias=False)])
    model[1].weight = model[0].weight
    model[2].weight.requires_grad_(False)
    hidden, embeddings, free = parameter_groups(model, 0.1)
    assert sum(p.numel() for p in embeddings["params"]) == 40
    assert hidden["params"] == free["params"] == []


def test_an_unknown_optimizer_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'lamb'.*stable_adamw"):
        build_optimizer("lamb", nn.Linear(2, 2), lr=1e-3)


def take_steps(optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(30, 8), nn.Linear(8, 16), nn.LayerNorm(16))


def test_adamw_is_fused_and_has_the_numbers_of_the_plain_one_also_when_restored() -> None:
    ours, plain = small_model(), small_model()
    optimizer = build_optimizer("adamw", ours, lr=1e-2, weight_decay=0.1)
    assert [group["fused"] for group in optimizer.param_groups] == [True, True]
    matrices = [parameter for parameter in plain.parameters() if parameter.ndim == 2]
    rest = [parameter for parameter in plain.parameters() if parameter.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    take_steps(optimizer, range(4))
    take_steps(torch.optim.AdamW(groups, 1e-2, (0.9, 0.98), 1e-6, foreach=False), range(4))
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    again = copy.deepcopy(ours)
    restored = build_optimizer("adamw", again, lr=1e-2, weight_decay=0.1)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    take_steps(optimizer, range(4, 7))
    take_steps(restored, range(4, 7))
    assert all(torch.equal(one, other) for one, other in zip(ours.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("name", ["stable_adamw", "adamw"])
def test_embeddings_may_decay_otherwise(name: str, caplog: pytest.LogCaptureFixture) -> None:
    model = small_model()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with caplog.at_level(logging.INFO):
        optimizer = build_optimizer(name, model, lr=0.1, weight_decay=0.0, weight_decay_embeddings=0.5)
    assert "weight decay 0 of 128 parameters in hidden matrices, 0.5 of 240 in embeddings and decoder" in caplog.text
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    share = 0.5 * (1.0 if name == "stable_adamw" else 0.1)
    torch.testing.assert_close(model[0].weight.detach(), before[0] * (1 - share))
    assert all(torch.equal(one, old) for one, old in zip(list(model.parameters())[1:], before[1:], strict=True))


def test_the_groups_of_older_checkpoints_stay_where_no_new_option_is_given() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Embedding(6, 4), nn.LayerNorm(4))
    matrices, rest = build_optimizer("stable_adamw", model, lr=0.1).param_groups
    assert [tuple(parameter.shape) for parameter in matrices["params"]] == [(4, 4), (6, 4)]
    assert len(rest["params"]) == 3

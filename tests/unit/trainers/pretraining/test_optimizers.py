import pytest
from torch import nn

from chinese_modernbert.trainers.pretraining.optimizers import build_optimizer, parameter_groups


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


def test_an_unknown_optimizer_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'lamb'.*stable_adamw"):
        build_optimizer("lamb", nn.Linear(2, 2), lr=1e-3)

import copy
from typing import Any

import pytest
import torch
from torch import nn

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.trainers.pretraining.optimizers import build_optimizer, check_optimizer
from chinese_modernbert.trainers.pretraining.optimizers.stable_adamw import StableAdamW
from chinese_modernbert.trainers.pretraining.options import PretrainingOptions
from chinese_modernbert.trainers.pretraining.schedules import build_schedule
from chinese_modernbert.trainers.zero_mean_residual import center_residual
from reference.pretraining_run import needs_muon

SIZES = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}


def small_model(**fields: Any) -> ChineseModernBertForMaskedLM:
    torch.manual_seed(0)
    return ChineseModernBertForMaskedLM(ChineseModernBertConfig(**SIZES, **fields))


def give_gradients(model: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator) * 0.01


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def are_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@needs_muon
def test_it_equals_torchs_muon_and_stable_adamw_side_by_side_under_one_schedule() -> None:
    model = small_model()
    twin = copy.deepcopy(model)
    ours = build_optimizer("muon", model, 1e-2, weight_decay=1e-3, weight_decay_embeddings=0.0, muon_lr=2e-2)
    hidden = [p for name, p in twin.named_parameters() if p.ndim == 2 and "tok_embeddings" not in name]
    outer = [p for name, p in twin.named_parameters() if p.ndim < 2 or "tok_embeddings" in name]
    muon = torch.optim.Muon(hidden, 2e-2, 1e-3 / 2e-2, adjust_lr_fn="match_rms_adamw")
    pair = [muon, StableAdamW(outer, 1e-2, weight_decay=0.0)]
    schedules = [build_schedule("linear", optimizer, 1, 8) for optimizer in (ours, *pair)]
    for step in range(5):
        give_gradients(model, step)
        give_gradients(twin, step)
        for each in (ours, *pair, *schedules):
            each.step()
    assert are_equal(weights(model), weights(twin))
    assert [group["lr"] / group["initial_lr"] for group in ours.param_groups] == pytest.approx([3 / 7] * 3)


@needs_muon
def test_the_step_of_a_hidden_matrix_has_even_singular_values() -> None:
    model = small_model()
    before = weights(model)
    optimizer = build_optimizer("muon", model, 1e-2, weight_decay=0.0)
    give_gradients(model, 0)
    optimizer.step()
    after = weights(model)
    for name in ("model.layers.0.attn.Wqkv.weight", "model.layers.1.mlp.Wo.weight", "head.dense.weight"):
        step = before[name] - after[name]
        values = torch.linalg.svdvals(step) / (1e-2 * 0.2 * max(step.shape) ** 0.5)
        assert 0.6 < values.min()
        assert values.max() < 1.3
    rows = before["model.embeddings.tok_embeddings.weight"] - after["model.embeddings.tok_embeddings.weight"]
    assert torch.linalg.svdvals(rows).max() > 2 * torch.linalg.svdvals(rows).min()


@needs_muon
@pytest.mark.parametrize("is_tied", [True, False])
def test_embeddings_and_decoder_are_not_for_muon(is_tied: bool) -> None:
    model = small_model(tie_word_embeddings=is_tied)
    embeddings, free, hidden = build_optimizer("muon", model, 1e-2).param_groups
    rows = 120 * 32 * (1 if is_tied else 2)
    assert sum(parameter.numel() for parameter in embeddings["params"]) == rows
    assert all(parameter.ndim == 1 for parameter in free["params"])
    assert {tuple(parameter.shape) for parameter in hidden["params"]} == {(96, 32), (32, 32), (32, 48)}
    everything = [parameter for group in (embeddings, free, hidden) for parameter in group["params"]]
    assert {id(one) for one in everything} == {id(one) for one in model.parameters()}
    assert len(everything) == len(list(model.parameters()))


@needs_muon
def test_a_restored_optimizer_takes_the_same_steps() -> None:
    model = small_model()
    optimizer = build_optimizer("muon", model, 1e-2)
    schedule = build_schedule("damped_cosine", optimizer, 1, 9)
    for step in range(3):
        give_gradients(model, step)
        optimizer.step()
        schedule.step()
    again = copy.deepcopy(model)
    restored = build_optimizer("muon", again, 1e-2)
    restored_schedule = build_schedule("damped_cosine", restored, 1, 9)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    restored_schedule.load_state_dict(schedule.state_dict())
    for step in range(3, 6):
        for one, its_optimizer, its_schedule in ((model, optimizer, schedule), (again, restored, restored_schedule)):
            give_gradients(one, step)
            its_optimizer.step()
            its_schedule.step()
    assert are_equal(weights(model), weights(again))


@needs_muon
def test_without_gradients_nothing_moves_and_the_residual_keeps_its_mean_of_zero() -> None:
    model = small_model()
    optimizer = build_optimizer("muon", model, 1e-2, weight_decay=1e-2)
    for step in range(3):
        give_gradients(model, step)
        optimizer.step()
        center_residual(model)
    assert model.residual_mean() < 1e-6
    before, state = weights(model), copy.deepcopy(optimizer.state_dict())
    model.zero_grad()
    optimizer.step()
    assert are_equal(before, weights(model))
    assert str(state) == str(optimizer.state_dict())


def test_a_torch_without_muon_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(ImportError, match=r"'muon' needs torch 2\.9 or newer, this is .*stable_adamw$"):
        check_optimizer(PretrainingOptions(optimizer="muon"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"muon_learning_rate": 0.02}, "muon_learning_rate=0.02 does nothing under optimizer='stable_adamw'"),
        ({"muon_momentum": 0.9, "optimizer": "adamw"}, "muon_momentum=0.9 does nothing under optimizer='adamw'"),
        ({"optimizer": "lamb"}, "'lamb' is not known; choose one of stable_adamw, adamw, muon"),
    ],
    ids=str,
)
def test_options_that_would_not_act_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_optimizer(PretrainingOptions(**options))


@needs_muon
@pytest.mark.parametrize("wrong", [{"muon_momentum": 1.0}, {"muon_lr": 0.0}], ids=str)
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        build_optimizer("muon", small_model(), 1e-2, **wrong)

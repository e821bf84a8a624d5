"""The residual stream keeps its mean of zero through training, whatever the optimizer, and through a merged adapter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import Trainer, TrainingArguments

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.trainers.zero_mean_residual import ZeroMeanResidualCallback

MakeConfig = Callable[..., ChineseModernBertConfig]


def rows(count: int = 8) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 200, (count, 24), generator=generator)
    return [{"input_ids": row, "labels": row} for row in ids]


def train(model: torch.nn.Module, folder: Path, callbacks: list, **changes: object) -> None:
    settings = {"per_device_train_batch_size": 2, "max_steps": 3, "learning_rate": 0.05, "weight_decay": 0.1}
    options = {**settings, "report_to": "none", "save_strategy": "no", "use_cpu": True, "disable_tqdm": True}
    arguments = TrainingArguments(output_dir=str(folder), **{**options, **changes})
    Trainer(model=model, args=arguments, train_dataset=rows(), callbacks=callbacks).train()


@pytest.mark.parametrize(
    "changes",
    [{"optim": "adamw_torch"}, {"optim": "adamw_torch_fused"}, {"gradient_accumulation_steps": 2}, {"optim": "sgd"}],
    ids=str,
)
def test_every_step_ends_with_a_mean_of_zero(tiny_config: MakeConfig, tmp_path: Path, changes: dict) -> None:
    model = ChineseModernBertForMaskedLM(tiny_config())
    before = model.model.layers[0].mlp.Wo.weight.detach().clone()
    train(model, tmp_path, [ZeroMeanResidualCallback()], **changes)
    assert not torch.equal(before, model.model.layers[0].mlp.Wo.weight)
    assert model.residual_mean() < 1e-5
    gain = model.model.embeddings.norm.weight
    assert torch.equal(gain, gain[0].expand_as(gain))


def test_without_the_callback_training_loses_it(tiny_config: MakeConfig, tmp_path: Path) -> None:
    model = ChineseModernBertForMaskedLM(tiny_config())
    train(model, tmp_path, [])
    assert model.residual_mean() > 1e-2


def test_a_model_that_does_not_ask_for_it_is_left_alone(tiny_config: MakeConfig, tmp_path: Path) -> None:
    trained = []
    for callbacks in ([], [ZeroMeanResidualCallback()]):
        torch.manual_seed(0)
        model = ChineseModernBertForMaskedLM(tiny_config(zero_mean_residual=False))
        train(model, tmp_path, callbacks)
        trained.append(model.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_a_merged_adapter_keeps_it(tiny_config: MakeConfig, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(
        ChineseModernBertForMaskedLM(tiny_config()), LoraConfig(r=4, target_modules=["Wqkv", "Wo", "Wi"])
    )
    train(adapted, tmp_path, [ZeroMeanResidualCallback()])
    merged = adapted.merge_and_unload()
    fresh = ChineseModernBertForMaskedLM(tiny_config())
    assert not torch.equal(merged.model.layers[0].attn.Wo.weight, fresh.model.layers[0].attn.Wo.weight)
    assert merged.residual_mean() < 1e-5

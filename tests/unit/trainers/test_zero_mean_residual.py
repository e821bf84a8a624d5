"""Training keeps the residual stream at mean zero, with every kind of step, and what is merged keeps it too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import Trainer, TrainingArguments

from chinese_modernbert.modeling import (
    ChineseModernBertConfig,
    ChineseModernBertForMaskedLM,
    ChineseModernBertForSequenceClassification,
)
from chinese_modernbert.trainers.zero_mean_residual import ZeroMeanResidualCallback, center_residual

SIZES = {"vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}


def small_config(**fields: Any) -> ChineseModernBertConfig:
    return ChineseModernBertConfig(**SIZES, intermediate_size=48, attention_bias=True, mlp_bias=True, **fields)


def rows() -> list[dict[str, torch.Tensor]]:
    ids = torch.randint(5, 200, (16, 12), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": row, "labels": row} for row in ids]


def train(model: nn.Module, folder: Path, callbacks: list[Any], **options: Any) -> None:
    arguments = TrainingArguments(
        str(folder), max_steps=4, learning_rate=1e-2, use_cpu=True, report_to="none", save_strategy="no", **options
    )
    Trainer(model, arguments, train_dataset=rows(), callbacks=callbacks).train()  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "options",
    [
        {"optim": "adamw_torch_fused"},
        {"optim": "adamw_torch", "weight_decay": 0.5},
        {"optim": "sgd"},
        {"optim": "adafactor"},
        {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 2},
    ],
    ids=str,
)
def test_a_plain_trainer_with_the_callback_keeps_it(tmp_path: Path, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(small_config())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, tmp_path, [ZeroMeanResidualCallback()], **options)
    assert model.residual_mean() < 1e-6
    assert not torch.equal(model.state_dict()["model.layers.1.mlp.Wo.weight"], before["model.layers.1.mlp.Wo.weight"])


def test_without_the_callback_it_is_lost(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(small_config())
    train(model, tmp_path, [])
    assert model.residual_mean() > 1e-3


def test_in_bfloat16_it_is_kept_to_what_the_format_can_show(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(small_config()).bfloat16()
    train(model, tmp_path, [ZeroMeanResidualCallback()])
    assert model.residual_mean() < 2**-8


def test_models_that_do_not_ask_for_it_are_left_alone() -> None:
    torch.manual_seed(0)
    for config in (small_config(zero_mean_residual=False), small_config(norm_type="layernorm")):
        model = ChineseModernBertForMaskedLM(config)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        center_residual(model)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    center_residual(nn.Linear(3, 4))


def test_a_merged_adapter_keeps_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertForSequenceClassification(small_config(num_labels=3))
    targets = ["Wqkv", "Wo", "Wi", "tok_embeddings"]
    adapted: Any = get_peft_model(
        model, LoraConfig(r=4, target_modules=targets, init_lora_weights=False, modules_to_save=["classifier"])
    )
    center_residual(adapted)  # adapters that do not start at zero
    labelled = [{"input_ids": row["input_ids"], "labels": torch.tensor(index % 3)} for index, row in enumerate(rows())]
    arguments = TrainingArguments(
        str(tmp_path), max_steps=3, learning_rate=1e-2, use_cpu=True, report_to="none", save_strategy="no"
    )
    before = adapted.base_model.model.model.layers[1].mlp.Wo.lora_B["default"].weight.clone()
    Trainer(
        adapted,
        arguments,
        train_dataset=labelled,  # pyright: ignore[reportArgumentType]
        callbacks=[ZeroMeanResidualCallback()],
    ).train()
    assert not torch.equal(adapted.base_model.model.model.layers[1].mlp.Wo.lora_B["default"].weight, before)
    merged = adapted.merge_and_unload()
    assert merged.residual_mean() < 1e-5

"""A residual stream of mean zero: RMSNorm gives the numbers of Transformers' own LayerNorm ModernBERT."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, ModernBertConfig, ModernBertForMaskedLM
from transformers.utils import logging as transformers_logging

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM

MakeConfig = Callable[..., ChineseModernBertConfig]


def trained_looking(config: ChineseModernBertConfig) -> ChineseModernBertForMaskedLM:
    """Return a model whose gains, writers and biases are as far from their start as training takes them."""
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
            elif name.endswith(("Wo.weight", "Wo.bias", "tok_embeddings.weight")):
                parameter.add_(0.1 * torch.randn_like(parameter) + 0.05)
    return model


def native_twin(model: ChineseModernBertForMaskedLM) -> ModernBertForMaskedLM:
    config = model.config
    native = ModernBertConfig(
        **{name: getattr(config, name) for name in ("vocab_size", "hidden_size", "num_hidden_layers")},
        **{name: getattr(config, name) for name in ("num_attention_heads", "intermediate_size", "local_attention")},
        **{name: getattr(config, name) for name in ("attention_bias", "mlp_bias", "layer_types", "rope_parameters")},
        **{name: getattr(config, name) for name in ("pad_token_id", "cls_token_id", "sep_token_id")},
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        attn_implementation="eager",
    )
    twin = ModernBertForMaskedLM(native).eval()
    twin.load_state_dict(model.state_dict())
    return twin


def largest_difference(model: ChineseModernBertForMaskedLM) -> float:
    ids = torch.randint(5, 200, (3, 150), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return float((native_twin(model)(ids).logits - model(ids).logits).abs().max())


@pytest.mark.parametrize("biases", [False, True])
def test_projected_weights_give_transformers_own_numbers_and_others_do_not(tiny_config: MakeConfig, biases) -> None:
    model = trained_looking(tiny_config(attention_bias=biases, mlp_bias=biases))
    assert model.residual_mean() > 0.1 and largest_difference(model) > 0.1
    model.center_residual()
    assert model.residual_mean() < 1e-6 and largest_difference(model) < 5e-5


def test_a_new_model_has_it_from_the_start_and_a_tied_decoder_shares_it(tiny_config: MakeConfig) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(tiny_config())
    assert model.config.zero_mean_residual and model.residual_mean() < 1e-6
    assert isinstance(model.head.norm, torch.nn.LayerNorm)
    assert isinstance(model.model.final_norm, torch.nn.RMSNorm)
    assert model.decoder.weight is model.model.embeddings.tok_embeddings.weight


def test_in_bfloat16_the_mean_stays_below_what_the_format_can_show(tiny_config: MakeConfig) -> None:
    model = trained_looking(tiny_config()).bfloat16()
    model.center_residual()
    assert model.residual_mean() < 2**-8


def test_loading_never_changes_a_weight(tiny_config: MakeConfig, tmp_path: Path) -> None:
    model = trained_looking(tiny_config())  # not projected: whoever loads it must see what was saved
    model.save_pretrained(tmp_path)
    loaded = ChineseModernBertForMaskedLM.from_pretrained(tmp_path)
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in model.state_dict().items())


def test_a_config_saved_before_it_existed_does_not_have_it(tiny_config: MakeConfig, tmp_path: Path) -> None:
    tiny_config().save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert values.pop("zero_mean_residual") is True
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
    for config in (ChineseModernBertConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert config.zero_mean_residual is False
    assert isinstance(ChineseModernBertForMaskedLM(config).head.norm, torch.nn.RMSNorm)


def test_layer_norms_do_not_need_it(tiny_config: MakeConfig) -> None:
    assert tiny_config(norm_type="layernorm").zero_mean_residual is False
    with pytest.raises(ValueError, match="needs norm_type='rmsnorm'"):
        tiny_config(norm_type="layernorm", zero_mean_residual=True)


def test_a_folder_of_the_native_model_type_is_read_as_ours_without_a_warning(
    tiny_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_config().save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**values, "model_type": "modernbert"}), encoding="utf-8")
    transformers_logging.enable_propagation()
    config = ChineseModernBertConfig.from_pretrained(tmp_path)
    transformers_logging.disable_propagation()
    assert config.model_type == "chinese_modernbert" and not caplog.records
    # Whatever else its fields say: what Transformers' own class loads has layer norms.
    assert config.norm_type == "layernorm" and not config.zero_mean_residual


def test_a_plain_modernbert_config_has_layer_norms(tmp_path: Path) -> None:
    ModernBertConfig(num_hidden_layers=1, hidden_size=64, num_attention_heads=2).save_pretrained(tmp_path)
    config = ChineseModernBertConfig.from_pretrained(tmp_path)
    assert config.norm_type == "layernorm" and not config.zero_mean_residual

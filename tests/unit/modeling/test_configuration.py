"""The configuration: exact sizes, checked at construction, the same after saving."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

from chinese_modernbert.modeling import (
    ChineseModernBertConfig,
    ChineseModernBertForMaskedLM,
    ChineseModernBertModel,
)
from chinese_modernbert.modeling.configuration_chinese_modernbert import AUTO_MAP, PRESETS


def count_parameters(model_class: type, config: ChineseModernBertConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in model_class(config).parameters())


@pytest.mark.parametrize(
    ("vocab_size", "encoder", "with_head"),
    [
        (32_000, 375_972_864, 377_054_464),
        (32_768, 376_759_296, 377_841_664),
        (32_979, 376_975_360, 378_057_939),
    ],
)
def test_large_has_the_parameter_counts_derived_from_the_paper(vocab_size: int, encoder: int, with_head: int) -> None:
    config = ChineseModernBertConfig(vocab_size=vocab_size)
    assert count_parameters(ChineseModernBertModel, config) == encoder
    assert count_parameters(ChineseModernBertForMaskedLM, config) == with_head


@pytest.mark.parametrize("name", ["tiny", "mini", "small", "base", "large"])
def test_presets_have_the_counts_of_the_closed_formula(name: str) -> None:
    config = ChineseModernBertConfig.preset(name)
    v, h, i, n = config.vocab_size, config.hidden_size, config.intermediate_size, config.num_hidden_layers
    encoder = v * h + h + n * (4 * h * h + 3 * h * i) + n * 2 * h - h + h
    assert count_parameters(ChineseModernBertModel, config) == encoder
    assert count_parameters(ChineseModernBertForMaskedLM, config) == encoder + h * h + h + v


def test_every_third_layer_is_global_by_default() -> None:
    kinds = ChineseModernBertConfig().layer_types
    assert [index for index, kind in enumerate(kinds) if kind == "full_attention"] == list(range(0, 28, 3))


def test_thetas_are_the_papers_and_either_spelling_sets_them() -> None:
    assert ChineseModernBertConfig().rope_theta("full_attention") == 80_000.0
    assert ChineseModernBertConfig().rope_theta("sliding_attention") == 10_000.0
    old = ChineseModernBertConfig(global_rope_theta=160_000.0, local_rope_theta=5_000.0)
    assert (old.rope_theta("full_attention"), old.rope_theta("sliding_attention")) == (160_000.0, 5_000.0)
    partial = ChineseModernBertConfig(rope_parameters={"full_attention": {"rope_theta": 3.0}})
    assert (partial.rope_theta("full_attention"), partial.rope_theta("sliding_attention")) == (3.0, 10_000.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 770, "num_attention_heads": 12}, "hidden_size=770"),
        ({"hidden_size": 36, "num_attention_heads": 12}, "even head size"),
        ({"norm_type": "batchnorm"}, "rmsnorm, layernorm"),
        ({"norm_bias": True}, "RMSNorm has no bias"),
        ({"classifier_pooling": "max"}, "cls, mean"),
        ({"local_attention": 127}, "local_attention=127"),
        ({"layer_types": ["full_attention"]}, "num_hidden_layers=28"),
        ({"layer_types": ["linear"] * 28}, "linear"),
        ({"global_attn_every_n_layers": 0}, "global_attn_every_n_layers=0"),
        ({"num_attention_heads": 0}, "num_attention_heads=0 must be a whole number, 1 or more"),
        ({"vocab_size": "512"}, "vocab_size='512' must be a whole number"),
        ({"num_hidden_layers": 1.5}, "num_hidden_layers=1.5"),
        ({"pad_token_id": -1}, "pad_token_id=-1 must be a whole number, 0 or more"),
        ({"norm_eps": -1}, "norm_eps=-1 must be a positive number"),
        ({"norm_eps": "small"}, "norm_eps='small'"),
        ({"initializer_range": float("nan")}, "initializer_range=nan"),
        ({"attention_dropout": 2}, "attention_dropout=2 must be a number from 0 to 1"),
        ({"mlp_bias": "no"}, "mlp_bias='no' must be true or false"),
        ({"hidden_activation": "gelo"}, "hidden_activation='gelo' must be one of gelu, "),
        ({"classifier_activation": ["gelu"]}, "classifier_activation=.* must be one of"),
        ({"global_rope_theta": 0}, "global_rope_theta=0"),
        ({"rope_parameters": "yarn"}, "rope_parameters holds yarn; give a mapping"),
        ({"rope_parameters": {"full_attention": "yarn"}}, "rope_parameters holds full_attention; give a mapping"),
        ({"rope_parameters": {"full_attention": {"rope_theta": "big"}}}, "rope_theta='big' for full_attention"),
        ({"rope_parameters": {"full_attention": {"rope_type": ["yarn"]}}}, "rope_type="),
        ({"rope_parameters": {"full_attention": {"rope_type": "llama3"}}}, "llama3"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "factor"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_value_in_the_text(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ChineseModernBertConfig(**fields)


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="tiny, mini, small, base, large"):
        ChineseModernBertConfig.preset("huge")
    page = (Path(__file__).parents[3] / "docs" / "modeling.md").read_text(encoding="utf-8")
    section = page.partition("## Sizes\n")[2].partition("\n## ")[0]
    assert set(re.findall(r'"(\w+)"', section)) == set(PRESETS)  # in code, one beside the other


def test_saving_keeps_every_field_and_the_whole_auto_map(tmp_path, tiny_config) -> None:
    config = tiny_config(
        global_rope_theta=20_000.0, local_attention=64, norm_type="layernorm", tie_word_embeddings=False
    )
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert type(again) is ChineseModernBertConfig
    for name in ("rope_parameters", "local_attention", "norm_type", "layer_types", "pad_token_id", "mask_token_id"):
        assert getattr(again, name) == getattr(config, name)
    assert again.tie_word_embeddings is False
    stored = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert {"AutoConfig", "AutoModel", "AutoModelForMaskedLM", "AutoModelForMultipleChoice"} <= set(stored["auto_map"])


def test_a_saved_auto_map_names_files_of_the_folder_and_keeps_classes_of_others(tmp_path, tiny_config) -> None:
    """A repository may name its classes by its own name, or by that of another; the saved folder must not need it."""
    loaded = {name: f"owner/name--{reference}" for name, reference in AUTO_MAP.items()}
    config = tiny_config(auto_map={**loaded, "AutoModel": "own.OwnModel", "AutoModelForMaskedLM": "a/b--own.OwnHead"})
    config.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    own = {"AutoModel": "own.OwnModel", "AutoModelForMaskedLM": "a/b--own.OwnHead"}
    assert stored["auto_map"] == {**AUTO_MAP, **own}
    files = {f"{reference.split('.')[0]}.py" for reference in AUTO_MAP.values()}
    assert files <= {path.name for path in tmp_path.iterdir()}


def test_auto_classes_are_registered_by_the_import(tiny_config) -> None:
    assert type(AutoModel.from_config(tiny_config())) is ChineseModernBertModel
    assert type(AutoModelForMaskedLM.from_config(tiny_config())) is ChineseModernBertForMaskedLM


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope_parameters holds factor, rope_type; give"),
        ({"rope_parameters": {"global_attention": {"rope_theta": 5e5}}}, "holds global_attention"),
        ({"rope_theta": 5e5}, "rope_theta=500000.0 is not read"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "rope_scaling=.* is not read"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn", "factor": 4.0, "mscale": 0.7}}}, "know mscale"),
        ({"rope_parameters": {"full_attention": {"partial_rotary_factor": 0.5}}}, "only 1.0 is known"),
    ],
)
def test_rope_settings_that_nothing_reads_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ChineseModernBertConfig(**given)


def test_yarn_takes_the_longest_text_for_that_of_training_where_none_is_given() -> None:
    config = ChineseModernBertConfig(rope_parameters={"full_attention": {"rope_type": "yarn", "factor": 4.0}})
    assert config.rope_parameters["full_attention"]["original_max_position_embeddings"] == 8192
    assert ChineseModernBertConfig.from_dict(config.to_dict()).rope_parameters == config.rope_parameters

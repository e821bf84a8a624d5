import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import ModernBertConfig, ModernBertForMaskedLM

from chinese_modernbert import modeling
from chinese_modernbert.hub_release import convert_checkpoint
from chinese_modernbert.hub_release.native_form import native_config_values
from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from reference.tiny_checkpoint import write_tiny_checkpoint

TOLERANCE = 1e-5
IDS = {"pad_token_id": 3, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}
SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "local_attention": 8,
    "max_position_embeddings": 64,
}
CLASSES = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
)


def write_native(folder: Path, kind: str = "ForMaskedLM", shard: str = "1GB", **overrides: Any) -> Any:
    """Save a ModernBERT of Transformers whose weights are far from their start, and return it."""
    torch.manual_seed(0)
    model = getattr(transformers, f"ModernBert{kind}")(ModernBertConfig(**{**SIZES, **IDS, **overrides})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder, max_shard_size=shard)
    return model


def numbers(model: Any, kind: str = "ForMaskedLM") -> torch.Tensor:
    """Return a model's output for two texts longer than the local window."""
    ids = torch.randint(0, 97, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        outputs = model(input_ids=ids.unsqueeze(0) if kind == "ForMultipleChoice" else ids)
    return outputs[0]


def largest_difference(one: torch.Tensor, other: torch.Tensor) -> float:
    assert one.shape == other.shape
    return float((one - other).abs().max() / one.abs().max())


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_keeps_its_tensors_and_numbers(kind: str, tmp_path: Path) -> None:
    theirs = write_native(tmp_path / "native", kind)
    convert_checkpoint(tmp_path / "native", tmp_path / "ours")
    ours = getattr(modeling, f"ChineseModernBert{kind}").from_pretrained(tmp_path / "ours").eval()
    assert largest_difference(numbers(theirs, kind), numbers(ours, kind)) < TOLERANCE
    expected = load_file(tmp_path / "native" / "model.safetensors")
    given = load_file(tmp_path / "ours" / "model.safetensors")
    assert sorted(given) == sorted(expected)
    assert all(torch.equal(given[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "fields",
    [
        {"norm_bias": True, "attention_bias": True, "mlp_bias": True, "classifier_bias": True},
        {"decoder_bias": False},
        {"tie_word_embeddings": False},
        {"norm_eps": 1e-3, "hidden_activation": "silu", "classifier_activation": "relu"},
        {"local_attention": 16},
        {"layer_types": ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]},
        {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 500.0}}},
        {"rope_parameters": {"sliding_attention": {"rope_type": "default", "rope_theta": 77.0}}},
        {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}}},
    ],
    ids=lambda fields: "-".join(fields),
)
def test_every_field_that_changes_numbers_is_carried_over(fields: dict[str, Any], tmp_path: Path) -> None:
    theirs = write_native(tmp_path / "native", **fields)
    convert_checkpoint(tmp_path / "native", tmp_path / "ours")
    ours = ChineseModernBertForMaskedLM.from_pretrained(tmp_path / "ours").eval()
    assert largest_difference(numbers(theirs), numbers(ours)) < TOLERANCE


def test_every_field_comes_back(tmp_path: Path) -> None:
    write_native(tmp_path / "native", classifier_pooling="mean", sparse_prediction=True, mlp_dropout=0.1)
    convert_checkpoint(tmp_path / "native", tmp_path / "ours")
    values = native_config_values(ChineseModernBertConfig.from_pretrained(tmp_path / "ours"))
    expected = ModernBertConfig.from_pretrained(tmp_path / "native").to_dict()
    given = ModernBertConfig.from_dict(values).to_dict()
    same = set(expected) - {"architectures", "dtype", "_name_or_path", "transformers_version"}
    assert {key: given[key] for key in same} == {key: expected[key] for key in same}


def test_labels_of_a_classifier_are_kept(tmp_path: Path) -> None:
    names = {0: "bad", 1: "fair", 2: "good"}
    write_native(tmp_path / "native", "ForSequenceClassification", id2label=names)
    convert_checkpoint(tmp_path / "native", tmp_path / "ours")
    assert ChineseModernBertConfig.from_pretrained(tmp_path / "ours").id2label == names


def test_old_spelling_of_thetas_and_layer_pattern_is_read(tmp_path: Path) -> None:
    """The form in which Transformers before 5 wrote these checkpoints."""
    theirs = write_native(tmp_path / "native", layer_types=["full_attention", "sliding_attention"] * 2)
    path = tmp_path / "native" / "config.json"
    values = json.loads(path.read_text())
    del values["layer_types"], values["rope_parameters"]
    values.update(global_attn_every_n_layers=2, global_rope_theta=900.0, local_rope_theta=80.0)
    path.write_text(json.dumps(values))
    theirs = ModernBertForMaskedLM.from_pretrained(tmp_path / "native").eval()
    convert_checkpoint(tmp_path / "native", tmp_path / "ours")
    ours = ChineseModernBertForMaskedLM.from_pretrained(tmp_path / "ours").eval()
    assert ours.config.rope_theta("full_attention") == 900.0
    assert largest_difference(numbers(theirs), numbers(ours)) < TOLERANCE


def test_native_config_also_has_the_old_spelling() -> None:
    values = native_config_values(ChineseModernBertConfig(num_hidden_layers=4, global_attn_every_n_layers=2))
    spelled = (values["global_attn_every_n_layers"], values["global_rope_theta"], values["local_rope_theta"])
    assert spelled == (2, 80000, 10000)


def test_shards_become_one_file_with_the_same_tensors(tmp_path: Path) -> None:
    theirs = write_native(tmp_path / "native", shard="20KB")
    assert len(list((tmp_path / "native").glob("model-*.safetensors"))) > 1
    convert_checkpoint(tmp_path / "native", tmp_path / "ours")
    given, expected = load_file(tmp_path / "ours" / "model.safetensors"), theirs.state_dict()
    assert sorted(given) == sorted(set(expected) - {"decoder.weight"})
    assert all(torch.equal(given[name], expected[name]) for name in given)


def test_bfloat16_stays_bfloat16(tmp_path: Path) -> None:
    write_native(tmp_path / "native").to(torch.bfloat16).save_pretrained(tmp_path / "half")
    convert_checkpoint(tmp_path / "half", tmp_path / "ours")
    assert {tensor.dtype for tensor in load_file(tmp_path / "ours" / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["dtype"] == "bfloat16"


def test_tokenizer_goes_along_and_gives_the_ids_that_the_config_lacks(checkpoint: Path, tmp_path: Path) -> None:
    write_native(tmp_path / "native", vocab_size=384)
    for path in checkpoint.glob("*token*.json"):
        (tmp_path / "native" / path.name).write_bytes(path.read_bytes())
    convert_checkpoint(tmp_path / "native", tmp_path / "ours")
    config = ChineseModernBertConfig.from_pretrained(tmp_path / "ours")
    assert (config.unk_token_id, config.mask_token_id, config.pad_token_id, config.cls_token_id) == (1, 4, 3, 1)
    assert (tmp_path / "ours" / "tokenizer.json").read_bytes() == (checkpoint / "tokenizer.json").read_bytes()


def test_an_rmsnorm_model_gets_a_mean_of_zero_and_the_change_is_recorded(tmp_path: Path) -> None:
    source = write_tiny_checkpoint(tmp_path / "source", zero_mean_residual=False)
    convert_checkpoint(source, tmp_path / "out", zero_mean_residual=True)
    record = json.loads((tmp_path / "out" / "conversion.json").read_text())["zero_mean_residual"]
    before, after = (
        ChineseModernBertForMaskedLM.from_pretrained(folder).eval() for folder in (source, tmp_path / "out")
    )
    assert after.config.zero_mean_residual and after.residual_mean() < 1e-6
    assert record["mean_before"] == pytest.approx(before.residual_mean())
    assert 0.01 < record["difference"] < 10
    # It is what centering does, and release can now make it native.
    before.center_residual()
    for name, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], value)
    assert (tmp_path / "out" / "tokenizer.json").is_file()
    with pytest.raises(ValueError, match="which has it already; release it as it is"):
        convert_checkpoint(tmp_path / "out", tmp_path / "again", zero_mean_residual=True)


def test_weights_that_lost_the_mean_of_zero_get_it_back(checkpoint: Path, tmp_path: Path) -> None:
    model = ChineseModernBertForMaskedLM.from_pretrained(checkpoint)
    with torch.no_grad():
        model.model.layers[1].mlp.Wo.weight.add_(0.01)
    model.save_pretrained(checkpoint)
    convert_checkpoint(checkpoint, tmp_path / "out", zero_mean_residual=True)
    assert ChineseModernBertForMaskedLM.from_pretrained(tmp_path / "out").residual_mean() < 1e-6


def test_layer_norms_need_no_mean_of_zero(tmp_path: Path) -> None:
    source = write_tiny_checkpoint(tmp_path / "source", norm_type="layernorm")
    with pytest.raises(ValueError, match="layer norms take the mean out themselves; release it as it is"):
        convert_checkpoint(source, tmp_path / "out", zero_mean_residual=True)


def test_one_of_ours_needs_no_translation(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'modernbert' is needed; it is one of ours already"):
        convert_checkpoint(checkpoint, tmp_path / "out")


def test_tensors_that_do_not_fit_the_config(tmp_path: Path) -> None:
    write_native(tmp_path / "native")
    path = tmp_path / "native" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "intermediate_size": 48}))
    with pytest.raises(ValueError, match="has shape"):
        convert_checkpoint(tmp_path / "native", tmp_path / "ours")


def test_unknown_rotary_positions_are_refused(tmp_path: Path) -> None:
    write_native(tmp_path / "native")
    path = tmp_path / "native" / "config.json"
    scaling = {"factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
    rope = {"full_attention": {"rope_type": "llama3", "rope_theta": 100.0, **scaling}}
    path.write_text(json.dumps({**json.loads(path.read_text()), "rope_parameters": rope}))
    with pytest.raises(ValueError, match="rope_type='llama3'"):
        convert_checkpoint(tmp_path / "native", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_output_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    write_native(tmp_path / "native")
    write_native(tmp_path / "other")
    with pytest.raises(FileExistsError):
        convert_checkpoint(tmp_path / "native", tmp_path / "other", overwrite=True)
    with pytest.raises(ValueError, match="is the model itself"):
        convert_checkpoint(tmp_path / "native", tmp_path / "native", overwrite=True)

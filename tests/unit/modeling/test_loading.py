"""Releases name Transformers' model type; this library's commands take its own classes all the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoModelForSequenceClassification, BertConfig, ModernBertConfig

from chinese_modernbert.evaluation.clue.tasks import TASKS
from chinese_modernbert.modeling import ChineseModernBertForSequenceClassification, ChineseModernBertModel
from chinese_modernbert.modeling.loading import own_config
from chinese_modernbert.trainers.clue.models import build_model, encoder_of
from chinese_modernbert.trainers.contrastive.arguments import ContrastiveArguments
from chinese_modernbert.trainers.contrastive.models import load_encoder, transformer_of


def test_checkpoints_and_releases_of_ours_are_known_and_others_are_not(
    saved_checkpoint: Path, saved_release: Path, tmp_path: Path
) -> None:
    for folder in (saved_checkpoint, saved_release):
        config = own_config(str(folder), num_labels=7)
        assert config is not None and config.num_labels == 7
    for number, other in enumerate((ModernBertConfig(), BertConfig())):
        other.save_pretrained(tmp_path / str(number))
        assert own_config(str(tmp_path / str(number))) is None


@pytest.mark.parametrize(
    "changed", [[], None, 3, {"num_attention_heads": 0}, {"auto_map": "x"}, {"id2label": ["a"]}, {"layer_types": 3}]
)
def test_a_configuration_of_another_shape_is_named_with_its_model(
    saved_checkpoint: Path, tmp_path: Path, changed: Any
) -> None:
    values = json.loads((saved_checkpoint / "config.json").read_text())
    content = {**values, **changed} if isinstance(changed, dict) else changed
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"the config.json of {tmp_path} cannot be read: "):
        own_config(str(tmp_path))


HEAD = {"decoder.bias", "head.dense.weight", "head.norm.weight"}


@pytest.mark.parametrize(
    ("form", "trust", "left_out"),
    [("checkpoint", False, set()), ("release", True, set()), ("release", False, HEAD)],
    ids=["ours", "the code in the folder", "Transformers' own"],
)
def test_an_encoder_reports_no_head_that_it_leaves_out_and_every_tensor_that_it_does_not_know(
    form: str, trust: bool, left_out: set[str], saved_checkpoint: Path, saved_release: Path, tmp_path: Path
) -> None:
    source = {"checkpoint": saved_checkpoint, "release": saved_release}[form]
    folder = shutil.copytree(source, tmp_path / "folder")
    _, info = AutoModel.from_pretrained(folder, trust_remote_code=trust, output_loading_info=True)
    assert (
        set(info["unexpected_keys"]) == left_out and not info["missing_keys"]
    )  # those that docs/how_to/loading.md names
    strangers = {"model.layers.0.attn.Wv.weight": torch.ones(2), "stranger.weight": torch.ones(2)}
    save_file({**load_file(folder / "model.safetensors"), **strangers}, folder / "model.safetensors", {"format": "pt"})
    _, info = AutoModel.from_pretrained(folder, trust_remote_code=trust, output_loading_info=True)
    names = {name.removeprefix("model.") for name in info["unexpected_keys"]}
    assert names == left_out | {"layers.0.attn.Wv.weight", "stranger.weight"}


def test_an_auto_class_takes_ours_when_it_is_given_the_configuration(saved_release: Path) -> None:
    config = own_config(str(saved_release), num_labels=3)
    model = AutoModelForSequenceClassification.from_pretrained(saved_release, config=config)
    assert isinstance(model, ChineseModernBertForSequenceClassification) and model.num_labels == 3


@pytest.mark.parametrize("task", ["tnews", "cluener", "csl", "chid", "cmrc2018", "cluewsc2020"])
def test_fine_tuning_a_release_trains_our_class(task: str, saved_release: Path) -> None:
    tags = ("O", "B", "I") if task == "cluener" else ()
    encoder = encoder_of(build_model(TASKS[task], str(saved_release), tags=tags))
    assert isinstance(encoder, ChineseModernBertModel) and encoder.config.norm_type == "layernorm"


def test_contrastive_training_of_a_release_trains_our_class(saved_release: Path, tmp_path: Path) -> None:
    arguments = ContrastiveArguments(output_dir=str(tmp_path), use_cpu=True)
    natively = SentenceTransformer(str(saved_release), device="cpu")
    assert not isinstance(transformer_of(natively), ChineseModernBertModel)
    encoder = load_encoder(saved_release, arguments)
    assert isinstance(transformer_of(encoder), ChineseModernBertModel)
    texts = ["今天天气很好。", "北京"]
    given, expected = (torch.from_numpy(one.encode(texts)) for one in (encoder.to("cpu"), natively))
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-4)

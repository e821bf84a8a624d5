"""The release on Transformers 4.57: `make compat`, or name an interpreter that has it in the environment."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from chinese_modernbert.hub_release import ReleaseArguments, build_release, verify_release
from chinese_modernbert.hub_release.manifest import modeling_files
from chinese_modernbert.modeling import (
    ChineseModernBertForMultipleChoice,
    ChineseModernBertForQuestionAnswering,
    ChineseModernBertForSequenceClassification,
    ChineseModernBertForTokenClassification,
)
from reference.tiny_checkpoint import write_tiny_checkpoint

VARIABLE = "CHINESE_MODERNBERT_OLD_PYTHON"
HEADS = (
    ChineseModernBertForMultipleChoice,
    ChineseModernBertForQuestionAnswering,
    ChineseModernBertForSequenceClassification,
    ChineseModernBertForTokenClassification,
)
WITH_EVERY_BIAS = {
    "norm_type": "layernorm",
    "norm_bias": True,
    "attention_bias": True,
    "mlp_bias": True,
    "classifier_bias": True,
}
# Runs under the old Transformers: load a saved head, save it again.
LOAD_AND_SAVE = """
import sys, transformers
name, given, expected = sys.argv[1:]
auto = getattr(transformers, name.replace("ChineseModernBert", "AutoModel"))
model, info = auto.from_pretrained(given, trust_remote_code=True, output_loading_info=True)
assert transformers.__version__.startswith("4."), transformers.__version__
assert not info["missing_keys"] and not info["unexpected_keys"], info
model.save_pretrained(expected)
"""


@pytest.fixture(scope="module")
def old_python() -> str:
    python = os.environ.get(VARIABLE)
    if not python:
        pytest.skip(f"{VARIABLE} names no interpreter with Transformers 4.57: make compat")
    return python


@pytest.mark.parametrize(
    "overrides", [{}, {"tie_word_embeddings": False}, WITH_EVERY_BIAS], ids=["tied", "untied", "every_bias"]
)
def test_a_release_gives_the_same_numbers_on_the_old_transformers(
    overrides: dict, old_python: str, tmp_path: Path
) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", **overrides)
    release = build_release(ReleaseArguments(str(checkpoint), str(tmp_path / "release")))
    report = verify_release(release, checkpoint, old_python)
    assert report.is_ok, report.summary()
    assert any(check.detail.startswith("Transformers 4.") for check in report.checks), report.summary()


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
def test_a_fine_tuned_head_is_loaded_and_saved_without_a_changed_weight(
    head: type, old_python: str, tmp_path: Path
) -> None:
    config = head.config_class.preset("tiny", vocab_size=97, hidden_size=32, intermediate_size=48, **WITH_EVERY_BIAS)
    torch.manual_seed(0)
    model = head(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    given, again = tmp_path / "given", tmp_path / "again"
    model.save_pretrained(given)
    for path in modeling_files():
        (given / path.name).write_bytes(path.read_bytes())
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    command = [old_python, "-P", "-s", "-c", LOAD_AND_SAVE, head.__name__, str(given), str(again)]
    process = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    expected, saved = load_file(given / "model.safetensors"), load_file(again / "model.safetensors")
    assert set(saved) == set(expected)
    assert all(torch.equal(saved[name], expected[name]) for name in expected)
    assert "AutoModel" in json.loads((again / "config.json").read_text("utf-8"))["auto_map"]
    # And back: what the old Transformers saved loads here.
    back = head.from_pretrained(again).state_dict()
    assert all(torch.equal(back[name], tensor) for name, tensor in model.state_dict().items())

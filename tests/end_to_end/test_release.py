"""A release is built, loaded by a process that has nothing of ours, and broken in every way that we know."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from chinese_modernbert import modeling
from chinese_modernbert.hub_release import (
    ReleaseArguments,
    VerificationReport,
    build_release,
    manifest,
    verify_release,
)
from chinese_modernbert.hub_release.manifest import write_release_manifest
from chinese_modernbert.hub_release.verification import verify
from chinese_modernbert.tokenization.loading import load_tokenizer, save_tokenizer
from reference.older_release import make_older
from reference.tiny_checkpoint import write_tiny_checkpoint

WEIGHTS = "model.safetensors"
HEADS_FILE = "heads_chinese_modernbert.py"
# Runs the isolated checks and writes down every question; one would wait for an answer where nobody sees it.
NOTE_QUESTIONS = """
import builtins, runpy
builtins.input = lambda *text: open("{note}", "a").write(str(text)) and "n"
runpy.run_path("{script}", run_name="__main__")
"""


@pytest.fixture
def release(saved_release: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_release, tmp_path / "release"))


def failed_names(report: VerificationReport) -> set[str]:
    return {check.name for check in report.failed}


def test_an_isolated_process_gets_the_numbers_of_the_checkpoint_and_asks_nothing(
    saved_release: Path, saved_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "script.py").write_text(NOTE_QUESTIONS.format(script=verify.ISOLATED_SCRIPT, note=tmp_path / "asked"))
    monkeypatch.setattr(verify, "ISOLATED_SCRIPT", tmp_path / "script.py")
    torch.manual_seed(7)
    report = verify_release(saved_release, saved_checkpoint)
    assert report.is_ok, report.summary()
    assert torch.initial_seed() == 7 and torch.equal(
        torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(7))
    )
    names = [check.name for check in report.checks]
    assert len(names) == len(set(names)) == 39
    skipped = {check.name for check in report.checks if check.outcome == "skip"}
    assert skipped <= {"SentenceTransformer", "peft: a LoRA adapter"}, report.summary()
    assert not (tmp_path / "asked").exists()


def test_layer_norm_untied_in_bfloat16_and_normalised_holds_without_its_checkpoint(tmp_path: Path) -> None:
    fields = {"norm_type": "layernorm", "norm_bias": True, "attention_bias": True, "classifier_pooling": "cls"}
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", tie_word_embeddings=False, **fields)
    options = {"dtype": "bfloat16", "normalize": True, "max_length": 64}
    folder = build_release(ReleaseArguments(str(checkpoint), str(tmp_path / "half"), **options))  # type: ignore[arg-type]
    report = verify_release(folder)
    assert report.is_ok, report.summary()


@pytest.mark.parametrize(
    ("head", "lines", "onnx"),
    [  # the graph of every head: tests/unit/hub_release/onnx
        ("Model", 23, ["fp32"]),
        ("ForSequenceClassification", 23, []),
        ("ForTokenClassification", 23, []),
        ("ForQuestionAnswering", 24, ["fp32"]),
        ("ForMultipleChoice", 23, []),
    ],
)
def test_a_fine_tuned_model_of_any_head_is_verified_in_both_classes(
    head: str, lines: int, onnx: list[str], saved_checkpoint: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = getattr(modeling, f"ChineseModernBert{head}").from_pretrained(saved_checkpoint)
    model.save_pretrained(tmp_path / "tuned")
    save_tokenizer(load_tokenizer(saved_checkpoint), tmp_path / "tuned")
    arguments = ReleaseArguments(str(tmp_path / "tuned"), str(tmp_path / "release"), onnx=onnx)
    report = verify_release(build_release(arguments), tmp_path / "tuned")
    assert report.is_ok, report.summary()
    natively = [check.name for check in report.checks if check.name.startswith("without trust: Auto")]
    assert f"without trust: AutoModel{head.removeprefix('Model')}" in natively
    assert len(report.checks) == lines, report.summary()


def test_a_model_for_spelling_is_verified_and_needs_its_own_code(saved_checkpoint: Path, tmp_path: Path) -> None:
    arm = "soft_masked"
    torch.manual_seed(0)
    model = modeling.ChineseModernBertForSpellingCorrection.from_pretrained(saved_checkpoint, spelling={"arm": arm})
    model.save_pretrained(tmp_path / "tuned")
    save_tokenizer(load_tokenizer(saved_checkpoint), tmp_path / "tuned")
    release = build_release(ReleaseArguments(str(tmp_path / "tuned"), str(tmp_path / "release")))
    report = verify_release(release, tmp_path / "tuned")
    assert report.is_ok, report.summary()
    (found,) = [check.detail for check in report.checks if check.name == "correct"]
    assert int(found.split()[0]) > 10
    assert not any(check.name.startswith("without trust") for check in report.checks)
    config = json.loads((release / "config.json").read_text("utf-8"))
    assert config["model_type"] == "chinese_modernbert" and config["spelling"]["arm"] == arm


@pytest.mark.parametrize(("name", "lines"), [("sparse_documents, own tokens", 39), ("late_interaction, pooled", 22)])
def test_a_search_model_is_verified_in_both_classes_and_its_examples_run(
    name: str, lines: int, saved_checkpoint: Path, tmp_path: Path
) -> None:
    for package in ("sentence_transformers", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    from reference import search_models

    saved = search_models.save(name, saved_checkpoint, tmp_path / "saved")
    options = {"model_name": str(tmp_path / "release"), "onnx": ["fp32"], "onnx_graphs": ["embedding"]}
    folder = build_release(ReleaseArguments(str(saved), str(tmp_path / "release"), **options))
    report = verify_release(folder, saved)
    assert report.is_ok and len(report.checks) == lines, report.summary()
    library_class = "MultiVectorEncoder" if name.startswith("late") else "SparseEncoder"
    passed = {check.name for check in report.checks if check.outcome == "pass"}
    assert {library_class, f"without trust: {library_class}", "ONNX without torch: onnx/model_embedding.onnx"} <= passed
    assert run_examples([folder / "README.md"], tmp_path) == (3 if name.startswith("sparse_documents") else 2)


def test_the_native_model_type_over_weights_that_are_not_native_fails(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", zero_mean_residual=False)
    release = build_release(ReleaseArguments(str(checkpoint), str(tmp_path / "release")))
    path = release / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "modernbert"}))
    write_release_manifest(release, "float32", {})
    failed = failed_names(verify_release(release, checkpoint))
    assert {"AutoModel: hidden states", "without trust: AutoModel", "without trust: AutoModelForMaskedLM"} <= failed
    assert "older spellings agree" in failed


def test_a_release_of_an_older_version_still_verifies(
    release: Path, saved_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(release, "0.0.9", tmp_path / "table.json")
    monkeypatch.setattr(manifest, "DIGESTS_FILE", tmp_path / "table.json")
    report = verify_release(release, saved_checkpoint)
    assert report.is_ok and "version 0.0.9" in report.summary(), report.summary()


def replace_in_file(path: Path, before: str, after: str) -> None:
    """Damage a file once; a damage that finds nothing to change would make its test say nothing."""
    text = path.read_text(encoding="utf-8")
    assert before in text, (path, before)
    path.write_text(text.replace(before, after, 1), encoding="utf-8")


def change_one_value(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["model.layers.2.mlp.Wi.weight"][0, 0] += 0.5
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def drop_one_tensor(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    del tensors["model.final_norm.weight"]
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def widen_the_window(folder: Path) -> None:
    before = "self.config.window if"
    replace_in_file(folder / "layers_chinese_modernbert.py", before, f"1 + {before}")


def import_the_package(folder: Path) -> None:
    replace_in_file(folder / HEADS_FILE, "import torch\n", "import chinese_modernbert.modeling\nimport torch\n")


def change_the_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["model"]["merges"] = []
    path.write_text(json.dumps(values), encoding="utf-8")


def pool_the_first_token(folder: Path) -> None:
    path = folder / "1_Pooling" / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))


def change_a_theta(folder: Path) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["rope_parameters"]["full_attention"]["rope_theta"] = 160_000.0
    path.write_text(json.dumps(values), encoding="utf-8")


def change_the_old_spelling_of_a_theta(folder: Path) -> None:
    replace_in_file(folder / "config.json", '"global_rope_theta": 80000.0', '"global_rope_theta": 160000.0')


def delete_a_modeling_file(folder: Path) -> None:
    (folder / HEADS_FILE).unlink()


# Faults that do not hide each other share a release, since every release takes a process of some seconds.
BREAKAGES: dict[tuple[Callable[[Path], None], ...], set[str]] = {
    (change_one_value,): {"weights file: every tensor", "AutoModel: every tensor", "AutoModelForMaskedLM: logits"},
    (widen_the_window, import_the_package): {"modeling files are this library's"},
    (change_a_theta,): {"AutoConfig", "AutoModel: hidden states", "older spellings agree"},
    (change_the_tokenizer,): {"AutoTokenizer without trust", "SentenceTransformer"},
    (change_the_old_spelling_of_a_theta, pool_the_first_token): {
        "older spellings agree",
        "SentenceTransformer",
        "without trust: SentenceTransformer",
    },
    (delete_a_modeling_file, drop_one_tensor): {
        "every file is there",
        "weights file: every tensor",
        "AutoModel: every tensor",
        "pipeline fill-mask",
    },
}


@pytest.mark.parametrize("damages", BREAKAGES, ids=lambda damages: "-".join(one.__name__ for one in damages))
def test_a_broken_release_fails(
    damages: tuple[Callable[[Path], None], ...], release: Path, saved_checkpoint: Path
) -> None:
    for damage in damages:
        damage(release)
    write_release_manifest(release, "float32", {})  # so that only the checks of contents can find the change
    report = verify_release(release, saved_checkpoint)
    assert not report.is_ok
    skipped = {check.name for check in report.checks if check.outcome == "skip"}
    assert BREAKAGES[damages] - skipped <= failed_names(report), report.summary()
    assert all("\n" not in check.detail for check in report.checks)


def test_an_interpreter_that_does_not_start_is_a_failure(release: Path, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no torch here >&2\nexit 3\n")
    broken.chmod(0o755)
    report = verify_release(release, python=broken)
    details = {check.name: check.detail for check in report.failed}
    assert "no torch here" in details["isolated process"]


def run_examples(cards: list[Path], folder: Path) -> int:
    """Run the Python of cards in one fresh process, and return how many examples there were."""
    examples = [
        example
        for card in cards
        for example in re.findall(r"```python\n(.*?)```", card.read_text(encoding="utf-8"), flags=re.DOTALL)
    ]
    command = [sys.executable, "-P", "-c", "\n".join(examples)]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert "num_labels" not in process.stderr, process.stderr
    return len(examples)


@pytest.mark.parametrize("is_native", [True, False], ids=["native", "own"])
def test_the_examples_of_the_card_run_as_they_are(is_native: bool, tmp_path: Path) -> None:
    for package in ("sentence_transformers", "peft", "accelerate", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", zero_mean_residual=is_native)
    options = {"model_name": str(tmp_path / "release"), "onnx": ["fp32"], "onnx_graphs": ["embedding"]}
    folder = build_release(ReleaseArguments(str(checkpoint), str(tmp_path / "release"), **options))
    assert run_examples([folder / "README.md"], tmp_path) == 8
    kept = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    for part in ("attn.Wqkv.lora_A", "attn.Wo.lora_B", "head.dense", "classifier.weight"):
        assert any(part in name for name in kept), part
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text("utf-8"))["task_type"] == "SEQ_CLS"


def test_the_examples_of_every_fine_tuned_kind_run_as_they_are(saved_checkpoint: Path, tmp_path: Path) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "Model": {},
        "ForSequenceClassification": {"num_labels": 3},
        "ForSequenceClassification, several labels": {"num_labels": 3, "problem_type": "multi_label_classification"},
        "ForSequenceClassification, regression": {"num_labels": 1, "problem_type": "regression"},
        "ForSequenceClassification, reranker": {"num_labels": 1},
        "ForTokenClassification": {"num_labels": 3, "id2label": {0: "O", 1: "B-地址", 2: "I-地址"}},
        "ForQuestionAnswering": {},
        "ForMultipleChoice": {},
        "ForSpellingCorrection": {"spelling": {"threshold": 0.0}},
    }
    cards = []
    for number, (kind, fields) in enumerate(kinds.items()):
        tuned, release = tmp_path / f"tuned_{number}", tmp_path / f"release_{number}"
        model = getattr(modeling, f"ChineseModernBert{kind.partition(',')[0]}")
        model.from_pretrained(saved_checkpoint, **fields).save_pretrained(tuned)
        save_tokenizer(load_tokenizer(saved_checkpoint), tuned)
        cards.append(build_release(ReleaseArguments(str(tuned), str(release), model_name=str(release))) / "README.md")
    sparse = {"pooling": "splade", "model_name": str(tmp_path / "sparse")}
    cards.append(
        build_release(ReleaseArguments(str(saved_checkpoint), str(tmp_path / "sparse"), **sparse)) / "README.md"
    )
    assert all("Recorded by the run" not in card.read_text(encoding="utf-8") for card in cards)
    assert run_examples(cards, tmp_path) == len(kinds) + 1

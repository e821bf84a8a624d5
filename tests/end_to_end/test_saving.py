"""Folders that `save_pretrained` writes, loaded by processes without this package, and saved again from there."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import PreTrainedModel

from chinese_modernbert.hub_release.verification.isolated_process import run_script
from chinese_modernbert.modeling import (
    ChineseModernBertConfig,
    ChineseModernBertForMaskedLM,
    ChineseModernBertForMultipleChoice,
    ChineseModernBertForQuestionAnswering,
    ChineseModernBertForSequenceClassification,
    ChineseModernBertForTokenClassification,
    ChineseModernBertModel,
)
from chinese_modernbert.tokenization.loading import load_tokenizer, save_tokenizer
from reference.tiny_checkpoint import write_tiny_checkpoint

SCRIPT = Path(__file__).parents[1] / "reference" / "isolated_saving.py"
TEXTS = ["今天天气很好", "北京是中国的首都"]
INPUT_IDS = [[2, 17, 31, 45, 59, 3], [2, 23, 37, 51, 65, 3]]
LABELS = {0: "体育", 1: "财经", 2: "科技"}
CLASSES: dict[str, type[PreTrainedModel]] = {
    "AutoModel": ChineseModernBertModel,
    "AutoModelForMaskedLM": ChineseModernBertForMaskedLM,
    "AutoModelForSequenceClassification": ChineseModernBertForSequenceClassification,
    "AutoModelForTokenClassification": ChineseModernBertForTokenClassification,
    "AutoModelForQuestionAnswering": ChineseModernBertForQuestionAnswering,
    "AutoModelForMultipleChoice": ChineseModernBertForMultipleChoice,
}
FILES = {"config.json", "model.safetensors"} | {
    f"{part}_chinese_modernbert.py"
    for part in (
        *("configuration", "modeling", "layers", "heads", "layout", "residual", "rotary"),
        *("kernels", "bands", "buckets", "cpu_kernels", "products", "losses"),
        *("rows", "blanks", "filling", "characters", "spelling"),
    )
}


class OwnClassifier(ChineseModernBertForSequenceClassification):
    """A class of the user's own, whose file nobody else has."""


@dataclass
class Saved:
    """A folder, and what the model that wrote it computes."""

    folder: Path
    auto_class: str
    hidden: torch.Tensor
    first: torch.Tensor


def tiny(cls: type[PreTrainedModel]) -> Any:
    config = ChineseModernBertConfig.preset(
        "tiny", vocab_size=97, hidden_size=32, intermediate_size=48, id2label=LABELS, num_labels=len(LABELS)
    )
    torch.manual_seed(0)
    model = cls(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def fine_tuned() -> Any:
    model = tiny(ChineseModernBertForSequenceClassification)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(input_ids=torch.tensor(INPUT_IDS), labels=torch.tensor([0, 2])).loss.backward()
    optimizer.step()
    return model


def merged() -> Any:
    config = LoraConfig(r=2, target_modules=["Wqkv"], init_lora_weights=False)
    return get_peft_model(tiny(ChineseModernBertForTokenClassification), config).merge_and_unload()  # pyright: ignore


def loaded(folder: Path) -> Any:
    tiny(ChineseModernBertForQuestionAnswering).save_pretrained(folder)
    return ChineseModernBertForQuestionAnswering.from_pretrained(folder).eval()


def save(model: Any, auto_class: str, folder: Path) -> Saved:
    model.save_pretrained(folder)
    assert {path.name for path in folder.iterdir()} == FILES
    # From the file, as the other process has it: where tensors lie in memory decides the last bit of a product.
    model = type(model).from_pretrained(folder).eval()
    input_ids = torch.tensor(INPUT_IDS)
    with torch.no_grad():
        hidden = model.base_model(input_ids=input_ids).last_hidden_state
        outputs = model(input_ids=input_ids[None] if auto_class.endswith("Choice") else input_ids)
    return Saved(folder, auto_class, hidden, outputs[0].contiguous())


def isolated(tasks: list[dict[str, Any]], folder: Path, python: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run tasks in one fresh process; return their results and all tensors."""
    folder.mkdir()

    def make_job(place: Path) -> dict[str, Any]:
        (place / "views").mkdir()
        job = {"views": str(place / "views"), "tensors": str(folder / "tensors.safetensors")}
        return {**job, "tasks": tasks, "texts": TEXTS, "input_ids": INPUT_IDS, "threads": torch.get_num_threads()}

    results = run_script(SCRIPT, python, make_job)
    return results, load_file(folder / "tensors.safetensors")


@pytest.fixture(params=["this Transformers", "Transformers 4.57"])
def python(request: pytest.FixtureRequest) -> str:
    if request.param.startswith("this"):
        return sys.executable
    old = os.environ.get("CHINESE_MODERNBERT_OLD_PYTHON")
    return old or pytest.skip("CHINESE_MODERNBERT_OLD_PYTHON names no interpreter with Transformers 4.57: make compat")


def check(saved: Saved, auto_class: str, result: dict[str, Any], tensors: dict[str, Any], number: int) -> None:
    """Compare a load with what the installed class computed; only what the folder lacks may be drawn anew."""
    assert torch.equal(tensors[f"{number}/hidden"], saved.hidden), (saved.auto_class, auto_class)
    assert {int(key): label for key, label in result["id2label"].items()} == LABELS
    heads = {name.partition(".")[0] for name in result["new"]}
    assert heads <= {"head", "decoder", "classifier"}, (saved.auto_class, auto_class, heads)
    if auto_class in ("AutoModel", saved.auto_class):
        assert not heads
        expected = saved.hidden if auto_class == "AutoModel" else saved.first
        assert torch.equal(tensors[f"{number}/first"], expected), (saved.auto_class, auto_class)


def check_weights(folder: Path, again: Path, new: list[str]) -> None:
    """Compare every tensor of a folder saved again, bit for bit, but those that its class drew anew."""
    before, after = (load_file(path / "model.safetensors") for path in (folder, again))
    for name in set(after) - set(new):
        # The prefix `model.` is that of every class but the base model.
        old = next(before[key] for key in (name, f"model.{name}", name.removeprefix("model.")) if key in before)
        assert torch.equal(after[name], old), name


def test_what_any_class_saves_loads_as_every_class_without_this_package_and_again(python: str, tmp_path: Path) -> None:
    makers: dict[str, tuple[Callable[[], Any], str]] = {
        name: (lambda cls=cls: tiny(cls), name) for name, cls in CLASSES.items()
    }
    makers["fine-tuned"] = (fine_tuned, "AutoModelForSequenceClassification")
    makers["merged adapter"] = (merged, "AutoModelForTokenClassification")
    makers["loaded"] = (lambda: loaded(tmp_path / "before"), "AutoModelForQuestionAnswering")
    makers["own class"] = (lambda: tiny(OwnClassifier), "AutoModelForSequenceClassification")
    rows = [save(make(), name, tmp_path / key.replace(" ", "_")) for key, (make, name) in makers.items()]
    pairs = [(saved, name) for saved in rows for name in CLASSES]
    tasks = [
        {"folder": str(saved.folder), "class": name, "again": str(tmp_path / f"again_{number}")}
        for number, (saved, name) in enumerate(pairs)
    ]
    results, tensors = isolated(tasks, tmp_path / "second", python)
    for number, (saved, name) in enumerate(pairs):
        check(saved, name, results[number], tensors, number)
        check_weights(saved.folder, Path(tasks[number]["again"]), results[number]["new"])
        assert FILES <= {path.name for path in Path(tasks[number]["again"]).iterdir()}

    # A third process: each folder as the class that wrote it; what the base model wrote, as one with a head too.
    later = [(number, name) for number, (_, name) in enumerate(pairs)]
    later += [(number, "AutoModelForMultipleChoice") for number, name in later if name == "AutoModel"]
    again = [{"folder": tasks[number]["again"], "class": name, "again": ""} for number, name in later]
    _, third = isolated(again, tmp_path / "third", python)
    for row, (number, name) in enumerate(later):
        torch.testing.assert_close(third[f"{row}/hidden"], tensors[f"{number}/hidden"])
        if name == pairs[number][1]:
            torch.testing.assert_close(third[f"{row}/first"], tensors[f"{number}/first"])


def test_a_model_from_the_hub_is_saved_with_its_code_and_needs_the_repository_no_more(
    python: str, tmp_path: Path
) -> None:
    saved = save(tiny(ChineseModernBertForMaskedLM), "AutoModelForMaskedLM", tmp_path / "saved")
    # As Transformers lets a repository name code that may lie in another one.
    config = saved.folder / "config.json"
    config.write_text(re.sub(r'"(\w+_chinese_modernbert\.)', r'"owner/name--\1', config.read_text("utf-8")), "utf-8")
    task = {"folder": str(saved.folder), "class": "AutoModel", "again": str(tmp_path / "again"), "hub": "owner/name"}
    _, second = isolated([task], tmp_path / "second", python)
    assert torch.equal(second["0/hidden"], saved.hidden)
    assert "owner/name--" not in (tmp_path / "again" / "config.json").read_text("utf-8")
    tasks = [{"folder": str(tmp_path / "again"), "class": name, "again": ""} for name in CLASSES]
    _, third = isolated(tasks, tmp_path / "third", python)
    for number in range(len(tasks)):
        assert torch.equal(third[f"{number}/hidden"], saved.hidden)


def test_a_sentence_encoder_saved_without_this_package_becomes_a_classifier(python: str, tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint")
    ChineseModernBertModel.from_pretrained(checkpoint).save_pretrained(tmp_path / "base")
    save_tokenizer(load_tokenizer(checkpoint), tmp_path / "base")
    first = {"folder": str(tmp_path / "base"), "class": "SentenceTransformer", "again": str(tmp_path / "encoder")}
    _, before = isolated([first], tmp_path / "second", python)
    names = ("SentenceTransformer", "AutoModelForSequenceClassification")
    tasks = [{"folder": str(tmp_path / "encoder"), "class": name, "again": ""} for name in names]
    results, after = isolated(tasks, tmp_path / "third", python)
    assert torch.equal(after["0/embeddings"], before["0/embeddings"])
    assert results[1]["new"] == ["classifier.bias", "classifier.weight", "head.dense.weight", "head.norm.weight"]

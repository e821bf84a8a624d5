"""What a process without this package does with saved folders: load them, compute, save them again.

Run as `python -P -s isolated_saving.py job.json`; works on Transformers 4.57 and 5.
"""

from __future__ import annotations

import importlib
import importlib.abc
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

SENTENCE_CLASSES = ("SentenceTransformer", "CrossEncoder", "SparseEncoder")


class BlockedPackage(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname.split(".")[0] == "chinese_modernbert":
            raise ImportError(f"{fullname} is blocked")


def run_task(task: dict[str, Any], number: int, job: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load a folder under a name of its own, so that no load lives on what an earlier one left in the module cache."""
    view = place_in_hub_cache(task) if "hub" in task else Path(job["views"]) / f"view_{number}"
    if "hub" not in task:
        view.symlink_to(task["folder"], target_is_directory=True)
    if task["class"] in SENTENCE_CLASSES:
        return run_sentence_class(task, str(view), job["texts"])
    import torch
    import transformers

    # Three labels do not fit a head of two or of one, which then starts anew.
    options = {"output_loading_info": True, "ignore_mismatched_sizes": True, **task.get("options", {})}
    model: Any
    model, info = getattr(transformers, task["class"]).from_pretrained(
        str(view), trust_remote_code=task.get("trust", True), **options
    )
    model.eval()
    check_class(model, task)
    input_ids = torch.tensor(job["input_ids"])
    if task.get("adapter"):
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(r=2, target_modules=["Wqkv"], init_lora_weights=False)
        model = get_peft_model(model, lora).merge_and_unload()  # pyright: ignore[reportCallIssue]
    if task.get("step"):
        train_a_step(model, input_ids)
    if task["again"]:
        model.save_pretrained(task["again"])
    # Transformers' own classifier of texts does not go without a mask.
    batch = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
    choices = task["class"].endswith("MultipleChoice")
    with torch.no_grad():
        hidden = model.base_model(**batch).last_hidden_state
        outputs = model(**{name: tensor[None] if choices else tensor for name, tensor in batch.items()})
    new = {*info["missing_keys"], *(row if isinstance(row, str) else row[0] for row in info["mismatched_keys"])}
    result = {"new": sorted(new), "id2label": model.config.id2label}
    # The first output is the answer of each head: hidden states, logits, or where an answer starts.
    return result, {"hidden": hidden, "first": outputs[0].contiguous()}


def check_class(model: Any, task: dict[str, Any]) -> None:
    """With trust a model is of the code in its folder, without it of Transformers' own ModernBERT."""
    expected = "transformers_modules." if task.get("trust", True) else "transformers.models.modernbert."
    assert type(model).__module__.startswith(expected), type(model)


def train_a_step(model: Any, input_ids: Any) -> None:
    """Train as a tagger, on the parity of each id."""
    import torch

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(input_ids=input_ids, labels=input_ids % 2).loss.backward()
    optimizer.step()


def place_in_hub_cache(task: dict[str, Any]) -> Path:
    """Place a folder where a download from the Hub would lie, and return the name of the repository."""
    revision = "0123456789abcdef0123456789abcdef01234567"
    cache = Path(os.environ["HF_HOME"]) / "hub" / f"models--{task['hub'].replace('/', '--')}"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(revision)
    shutil.copytree(task["folder"], cache / "snapshots" / revision)
    return Path(task["hub"])


def run_sentence_class(task: dict[str, Any], folder: str, texts: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load a folder as a class of sentence-transformers, and return its numbers for the texts."""
    import sentence_transformers

    options = {"trust_remote_code": task.get("trust", True), "device": "cpu", **task.get("options", {})}
    model = getattr(sentence_transformers, task["class"])(folder, **options)
    # Before version 6 a cross-encoder has no modules, and a module calls its model `auto_model`.
    modules = list(model) if hasattr(model, "__iter__") else [model]
    check_class(getattr(modules[0], "auto_model", None) or modules[0].model, task)
    if task["again"]:
        model.save_pretrained(task["again"])
    quiet = {"convert_to_tensor": True, "show_progress_bar": False}
    if task["class"] == "CrossEncoder":
        numbers = model.predict([(texts[0], text) for text in texts], **quiet)
    else:
        dense = {"convert_to_sparse_tensor": False} if task["class"] == "SparseEncoder" else {}
        numbers = model.encode(texts, **quiet, **dense)
    return {"modules": [type(module).__name__ for module in modules]}, {"embeddings": numbers.float().contiguous()}


def main(job_path: str) -> None:
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    sys.meta_path.insert(0, BlockedPackage())
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(job["threads"])
    results, tensors = [], {}
    for number, task in enumerate(job["tasks"]):
        try:
            result, computed = run_task(task, number, job)
        except Exception as error:  # only the last line of what this process says is seen
            raise RuntimeError(f"{task}: {error!r}") from error
        results.append(result)
        tensors.update({f"{number}/{name}": tensor for name, tensor in computed.items()})
    save_file(tensors, job["tensors"])
    Path(job["results"]).write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

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


class BlockedPackage(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname.split(".")[0] == "chinese_modernbert":
            raise ImportError(f"{fullname} is blocked")


def run_task(task: dict[str, Any], number: int, job: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load a folder under a name of its own, so that no load lives on what an earlier one left in the module cache."""
    view = place_in_hub_cache(task) if "hub" in task else Path(job["views"]) / f"view_{number}"
    if "hub" not in task:
        view.symlink_to(task["folder"], target_is_directory=True)
    if task["class"] == "SentenceTransformer":
        return {}, {"embeddings": run_sentence_transformer(task, str(view), job["texts"])}
    import torch
    import transformers

    # Three labels do not fit a head of two or of one, which then starts anew.
    options = {"trust_remote_code": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
    model, info = getattr(transformers, task["class"]).from_pretrained(str(view), **options)
    model.eval()
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    if task["again"]:
        model.save_pretrained(task["again"])
    input_ids = torch.tensor(job["input_ids"])
    choices = task["class"].endswith("MultipleChoice")
    with torch.no_grad():
        hidden = model.base_model(input_ids=input_ids).last_hidden_state
        outputs = model(input_ids=input_ids[None] if choices else input_ids)
    new = {*info["missing_keys"], *(row if isinstance(row, str) else row[0] for row in info["mismatched_keys"])}
    result = {"new": sorted(new), "id2label": model.config.id2label}
    # The first output is the answer of each head: hidden states, logits, or where an answer starts.
    return result, {"hidden": hidden, "first": outputs[0].contiguous()}


def place_in_hub_cache(task: dict[str, Any]) -> Path:
    """Place a folder where a download from the Hub would lie, and return the name of the repository."""
    revision = "0123456789abcdef0123456789abcdef01234567"
    cache = Path(os.environ["HF_HOME"]) / "hub" / f"models--{task['hub'].replace('/', '--')}"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(revision)
    shutil.copytree(task["folder"], cache / "snapshots" / revision)
    return Path(task["hub"])


def run_sentence_transformer(task: dict[str, Any], folder: str, texts: list[str]) -> Any:
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(folder, trust_remote_code=True, device="cpu")
    if task["again"]:
        encoder.save_pretrained(task["again"])
    return encoder.encode(texts, convert_to_tensor=True, show_progress_bar=False).contiguous()


def main(job_path: str) -> None:
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    sys.meta_path.insert(0, BlockedPackage())
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(job["threads"])
    results, tensors = [], {}
    for number, task in enumerate(job["tasks"]):
        result, computed = run_task(task, number, job)
        results.append(result)
        tensors.update({f"{number}/{name}": tensor for name, tensor in computed.items()})
    save_file(tensors, job["tensors"])
    Path(job["results"]).write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

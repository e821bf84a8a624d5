"""The check of a search model's embeddings sees every change of its modules; it runs here, in this process."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from chinese_modernbert.hub_release.verification.isolated_check import CheckFailedError, IsolatedChecks
from chinese_modernbert.hub_release.verification.verify import _Reference, _weights_check, _write_job

FOLDER, ROUTED = "query_0_SparseStaticEmbedding", "document_1_SpladePooling"
QUERY, DENSE = f"{FOLDER}/model.safetensors", "1_Dense/model.safetensors"


def change_tensor(file: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        tensors = {name: change(tensor).contiguous() for name, tensor in load_file(folder / file).items()}
        save_file(tensors, folder / file, metadata={"format": "pt"})

    return damage


def set_keys(file: str, **values: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        before = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**before, **values}))

    return damage


def drop_module(number: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        rows = json.loads((folder / "modules.json").read_text())
        (folder / "modules.json").write_text(json.dumps([row for row in rows if row["idx"] != number]))

    return damage


def check(folder: Path, saved: Path, place: Path) -> str:
    """Run the check of embeddings as the isolated process does it without trust."""
    job = _write_job(place, folder, _Reference(folder, saved))
    return IsolatedChecks(job).sentence_transformer_encodes(trust=False)


# Of releases by the kind of `search_models.MODELS`.
DAMAGES: dict[str, dict[str, Callable[[Path], None]]] = {
    "sparse_documents": {
        "weights": change_tensor(QUERY, lambda weights: weights + 0.5),
        "activation": set_keys("document_1_SpladePooling/config.json", activation_function="relu"),
        "pooling": set_keys("document_1_SpladePooling/config.json", pooling_strategy="sum"),
        "prompts": set_keys("config_sentence_transformers.json", prompts={"query": "今天"}),
    },
    "sparse, own tokens": {
        "weights": change_tensor("2_SparseStaticEmbedding/model.safetensors", torch.ones_like),
        "no mask": drop_module(2),
    },
    "sparse_documents, own tokens": {
        "weights": change_tensor("document_2_SparseStaticEmbedding/model.safetensors", torch.ones_like),
        "no mask": set_keys("router_config.json", structure={"query": [FOLDER], "document": ["", ROUTED]}),
    },
    "late_interaction": {
        "projection": change_tensor(DENSE, lambda matrix: matrix.flip(0)),
        "prompts": set_keys("config_sentence_transformers.json", prompts={"query": "[Q] ", "document": ""}),
        "skipped words": set_keys("2_MultiVectorMask/config.json", skiplist_words=[]),
        "skipping in queries": set_keys("2_MultiVectorMask/config.json", skiplist_tasks=["query", "document"]),
        "length of documents": set_keys("sentence_bert_config.json", document_length=5),
        "no expansion": set_keys("sentence_bert_config.json", query_expansion=None),
    },
    "late_interaction, pooled": {
        "pooling of tokens": set_keys("4_HierarchicalTokenPooling/config.json", pool_factor=3.0),
        "length of queries": set_keys("sentence_bert_config.json", query_length=5),
    },
}


@pytest.mark.parametrize("name", ["sparse", *DAMAGES])
def test_a_good_release_passes(
    name: str, saved_model: Callable[[str], Path], model_release: Callable[[str], Path], tmp_path: Path
) -> None:
    assert "largest difference" in check(model_release(name), saved_model(name), tmp_path)


@pytest.mark.parametrize(("name", "which"), [(name, which) for name, damages in DAMAGES.items() for which in damages])
def test_changed_modules_fail(
    name: str, which: str, saved_model: Callable[[str], Path], model_release: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model_release(name), tmp_path / "release"))
    DAMAGES[name][which](folder)
    with pytest.raises(CheckFailedError, match=r"what encode\w* gives"):
        check(folder, saved_model(name), tmp_path)


def test_tensors_of_modules_are_compared_bit_for_bit(
    saved_model: Callable[[str], Path], model_release: Callable[[str], Path], tmp_path: Path
) -> None:
    for name, file in (("sparse_documents", QUERY), ("late_interaction", DENSE)):
        reference = _Reference(model_release(name), saved_model(name))
        assert _weights_check(model_release(name), reference.all_tensors).outcome == "pass"
        folder = Path(shutil.copytree(model_release(name), tmp_path / name))
        change_tensor(file, lambda tensor: tensor * (1 + 1e-6))(folder)
        found = _weights_check(folder, reference.all_tensors)
        assert found.outcome == "fail" and f"the first is {file.partition('/')[0]}" in found.detail

"""A folder is loaded as the kind it is, with our classes, and what cannot search is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from transformers import BertForSequenceClassification

from chinese_modernbert.evaluation.retrieval.loading import load_search_model, search_class
from chinese_modernbert.modeling import ChineseModernBertConfig
from reference.tiny_bert import write_tiny_bert

TEXTS = ["北京是首都", "今天天气很好，我们去公园散步"]


def values_of(model: Any) -> np.ndarray:
    if isinstance(model, CrossEncoder):
        return np.asarray(model.predict([(TEXTS[0], text) for text in TEXTS]))
    if isinstance(model, MultiVectorEncoder):
        return torch.cat(list(model.encode_document(TEXTS))).numpy()
    found = model.encode_document(TEXTS)
    return found.to_dense().numpy() if isinstance(model, SparseEncoder) else np.asarray(found)


@pytest.mark.parametrize("name", ["dense", "sparse", "sparse_documents", "late_interaction", "reranker"])
def test_a_saved_model_comes_back_as_what_it_was(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model = request.getfixturevalue(name)
    model.save(str(tmp_path / "model"))
    loaded: Any = load_search_model(tmp_path / "model")
    assert type(loaded) is type(model)
    assert values_of(loaded.to("cpu")) == pytest.approx(values_of(model), abs=1e-5)


@pytest.mark.parametrize("trust", [False, True])
def test_a_release_under_the_name_of_modernbert_gets_our_class_and_runs_no_code_of_the_folder(
    dense: SentenceTransformer, trust: bool, tmp_path: Path
) -> None:
    """A native form names Transformers' class in `model_type` and ours in `auto_map`."""
    dense.save(str(tmp_path / "model"))
    file = tmp_path / "model" / "config.json"
    found = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**found, "model_type": "modernbert"}), encoding="utf-8")
    code = tmp_path / "model" / "configuration_chinese_modernbert.py"
    code.write_text("raise RuntimeError('code of the folder was run')\n", encoding="utf-8")
    loaded: Any = load_search_model(tmp_path / "model", trust_remote_code=trust)
    assert isinstance(loaded[0].model.config, ChineseModernBertConfig)


def test_a_sequence_classifier_of_one_label_is_a_reranker(tmp_path: Path) -> None:
    write_tiny_bert(tmp_path / "bert")
    for labels in (1, 2):
        folder = tmp_path / f"labels-{labels}"
        shutil.copytree(tmp_path / "bert", folder)
        BertForSequenceClassification.from_pretrained(tmp_path / "bert", num_labels=labels).save_pretrained(folder)
    loaded = load_search_model(tmp_path / "labels-1")
    assert isinstance(loaded, CrossEncoder) and loaded.num_labels == 1
    with pytest.raises(ValueError, match="is a classifier of 2 labels; one that ranks passages has 1"):
        load_search_model(tmp_path / "labels-2")


def test_a_masked_language_model_is_no_model_for_search(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ChineseModernBertForMaskedLM without modules.json.*retrieval'$"):
        load_search_model(checkpoint)
    with pytest.raises(FileNotFoundError, match="holds no model"):
        search_class(tmp_path)


def test_a_folder_that_is_damaged_or_of_another_kind_is_refused(dense: SentenceTransformer, tmp_path: Path) -> None:
    dense.save(str(tmp_path / "model"))
    file = tmp_path / "model" / "config_sentence_transformers.json"
    file.write_text('{"model_type": "Diffuser"}', encoding="utf-8")
    with pytest.raises(ValueError, match="is a 'Diffuser'; models for search are SentenceTransformer, SparseEncoder"):
        search_class(tmp_path / "model")
    for text in ("{", "[]"):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"config_sentence_transformers.json .*; save the model again"):
            search_class(tmp_path / "model")

"""Graphs of search models against sentence-transformers, which is another way from a text to its embedding."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chinese_modernbert.hub_release import OnnxOptions, export_onnx
from chinese_modernbert.hub_release.onnx.graphs import graphs_of
from chinese_modernbert.hub_release.onnx.isolated_check import open_graph, run_graph
from chinese_modernbert.hub_release.verification.verify import _changed_files
from chinese_modernbert.tokenization.loading import load_tokenizer

TEXTS = ["今天天气很好，我们去公园散步。", "字", "北京是中国的首都，公园"]


def outputs_of(folder: Path, texts: list[str]) -> tuple[str, np.ndarray, np.ndarray]:
    """Return name, numbers and padding mask of a batch through the graph `embedding` of a folder."""
    batch: Any = load_tokenizer(folder)(texts, padding=True, return_tensors="np")
    given = run_graph(
        open_graph(folder / "onnx" / "model_embedding.onnx", 1), batch["input_ids"], batch["attention_mask"]
    )
    [(name, numbers)] = given.items()
    return name, numbers, batch["attention_mask"].astype(bool)


@pytest.mark.parametrize("name", ["sparse", "sparse, own tokens", "sparse_documents, own tokens"])
def test_a_sparse_graph_gives_the_weights_of_the_library(
    name: str, model_release: Callable[[str], Path], tmp_path: Path
) -> None:
    from sentence_transformers import SparseEncoder

    folder = Path(shutil.copytree(model_release(name), tmp_path / "release"))
    export_onnx(folder, OnnxOptions(("fp32", "int8"), ("embedding",)), overwrite=True)
    assert _changed_files(folder) == []
    output, given, _ = outputs_of(folder, TEXTS)
    model = SparseEncoder(str(folder), device="cpu")
    expected = model.encode_document(TEXTS, convert_to_sparse_tensor=False)
    assert output == "sentence_embedding"
    np.testing.assert_allclose(given, torch.as_tensor(expected).numpy(), atol=1e-4, rtol=1e-4)


def test_a_graph_of_late_interaction_gives_the_vectors_of_the_library(
    model_release: Callable[[str], Path], tmp_path: Path
) -> None:
    from sentence_transformers import MultiVectorEncoder

    folder = Path(shutil.copytree(model_release("late_interaction"), tmp_path / "release"))
    export_onnx(folder, OnnxOptions(("fp32", "int8"), ("embedding",)), overwrite=True)
    assert _changed_files(folder) == []
    model = MultiVectorEncoder(str(folder), device="cpu")
    prompt, skipped = model.prompts["document"] or "", ("，", "。")
    output, given, mask = outputs_of(folder, [prompt + text for text in TEXTS])
    assert output == "token_embeddings" and given.shape[-1] == 16
    ids = load_tokenizer(folder).convert_tokens_to_ids(list(skipped))
    for row, is_token, text in zip(given, mask, TEXTS, strict=True):
        tokens = np.array(load_tokenizer(folder)(prompt + text)["input_ids"])
        kept = row[is_token][~np.isin(tokens, ids)]
        np.testing.assert_allclose(kept, model.encode_document([text])[0].numpy(), atol=1e-4, rtol=1e-4)


def test_the_graph_of_embeddings_has_the_output_of_its_kind() -> None:
    for pooling, output in (
        ("cls", "sentence_embedding"),
        ("splade", "sentence_embedding"),
        ("late_interaction", "token_embeddings"),
    ):
        assert graphs_of("ChineseModernBertForMaskedLM", pooling)["embedding"] == (output,)
        assert list(OnnxOptions().outputs("ChineseModernBertForMaskedLM", pooling)) == ["model", "embedding"]
    with pytest.raises(ValueError, match="'embedding' is none of"):
        OnnxOptions(graphs=("embedding",)).outputs("ChineseModernBertForSequenceClassification")

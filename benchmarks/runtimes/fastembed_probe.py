"""fastembed: sentence embeddings and reranking from local folders, added as models of one's own."""

from __future__ import annotations

import importlib.metadata
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType
from fastembed.rerank.cross_encoder import TextCrossEncoder
from numpy.typing import NDArray
from probing import Probe

# File, whether fastembed pools by itself, and precision.
GRAPHS = (
    ("onnx/model.onnx", PoolingType.MEAN, "float32"),
    ("onnx/model_quantized.onnx", PoolingType.MEAN, "int8"),
    ("onnx/model_embedding.onnx", PoolingType.DISABLED, "float32"),
    ("onnx/model_embedding_quantized.onnx", PoolingType.DISABLED, "int8"),
)
NOWHERE = ModelSource(hf="local/folder")  # never asked, since the folder is given


def embeddings(probe: Probe, file: str, pooling: PoolingType) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return the embedding of each text, and torch's."""
    expected, folder = probe.arrays["sentence_encoder_embeddings"], probe.folder("sentence_encoder")
    size = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))["hidden_size"]
    TextEmbedding.add_custom_model(file, pooling, True, NOWHERE, size, model_file=file)
    encoder = TextEmbedding(file, specific_model_path=folder, threads=probe.job["threads"])
    return list(zip(np.array(list(encoder.embed(probe.job["texts"]))), expected, strict=True))


def scores(probe: Probe, file: str) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return the scores of all pairs, and torch's."""
    TextCrossEncoder.add_custom_model(file, NOWHERE, model_file=file)
    encoder = TextCrossEncoder(file, specific_model_path=probe.folder("reranker"), threads=probe.job["threads"])
    found = encoder.rerank_pairs([tuple(pair) for pair in probe.job["pairs"]])
    return [(np.array(list(found)), probe.arrays["pair_scores"])]


def main() -> None:
    probe = Probe("fastembed", importlib.metadata.version("fastembed"))
    for file, pooling, precision in GRAPHS:
        pairs = partial(embeddings, probe, file, pooling)
        probe.compare(f"TextEmbedding, {Path(file).name}", pairs, precision=precision)
    for file, _, precision in GRAPHS[:2]:
        probe.compare(f"TextCrossEncoder, {Path(file).name}", partial(scores, probe, file), precision=precision)
    probe.write()


if __name__ == "__main__":
    main()

"""sentence-transformers: embeddings and reranking with the back ends that the environment holds."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sentence_transformers
import transformers
from numpy.typing import NDArray
from probing import Probe
from sentence_transformers import CrossEncoder, SentenceTransformer

SETTINGS: dict[str, dict[str, Any]] = {
    "torch": {},
    "onnx": {"provider": "CPUExecutionProvider"},  # finds onnx/model.onnx among the other graphs by itself
    "onnx, int8": {"provider": "CPUExecutionProvider", "file_name": "onnx/model_quantized.onnx"},
    "openvino": {"ov_config": {"INFERENCE_PRECISION_HINT": "f32"}},
}


def folder_for(probe: Probe, task: str, backend: str) -> str:
    """Return the release; for OpenVINO a copy that also holds its graph in OpenVINO's own format.

    optimum-intel has no export of ModernBERT, but reads what lies in the folder `openvino`.
    """
    folder = Path(probe.folder(task))
    if backend != "openvino":
        return str(folder)
    import openvino

    copy = Path(probe.job["scratch"], task)
    if not copy.is_dir():
        shutil.copytree(folder, copy)
        model = openvino.convert_model(folder / "onnx" / "model.onnx")
        openvino.save_model(model, copy / "openvino" / "openvino_model.xml", compress_to_fp16=False)
    return str(copy)


def arguments(name: str, trust: bool) -> dict[str, Any]:
    """Return the keyword arguments of either class."""
    given = {"device": "cpu", "backend": name.partition(",")[0], "model_kwargs": dict(SETTINGS[name])}
    return {**given, "trust_remote_code": True} if trust else given


def embeddings(probe: Probe, name: str, trust: bool) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return the embedding of each text, and torch's."""
    encoder = SentenceTransformer(folder_for(probe, "sentence_encoder", name), **arguments(name, trust))
    return list(zip(encoder.encode(probe.job["texts"]), probe.arrays["sentence_encoder_embeddings"], strict=True))


def scores(probe: Probe, name: str, trust: bool) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return the scores of all pairs, and torch's after the function that is sentence-transformers' default."""
    encoder = CrossEncoder(folder_for(probe, "reranker", name), **arguments(name, trust))
    return [(encoder.predict(probe.job["pairs"]), 1 / (1 + np.exp(-probe.arrays["pair_scores"])))]


def main() -> None:
    transformers.logging.set_verbosity_error()
    probe = Probe("sentence-transformers", sentence_transformers.__version__)
    for name in probe.job["backends"]:
        for trust in (False, True) if name == "torch" else (False,):
            precision = "int8" if name.endswith("int8") else "float32"
            suffix = f"backend {name}" + (", trust_remote_code=True" if trust else "")
            for kind, compute in (("SentenceTransformer", embeddings), ("CrossEncoder", scores)):
                probe.compare(f"{kind}, {suffix}", partial(compute, probe, name, trust), precision=precision)
    probe.write()


if __name__ == "__main__":
    main()

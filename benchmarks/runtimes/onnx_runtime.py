"""ONNX Runtime: every graph of every folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnxruntime
from probing import Arrays, Probe

PRECISIONS = {"float32": "", "int8": "_quantized"}


def open_graph(path: Path, threads: int) -> Callable[[Arrays], Arrays]:
    """Return the function from inputs to the named outputs of a graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(None, inputs), strict=True))


def main() -> None:
    probe = Probe("ONNX Runtime", onnxruntime.__version__)
    for task in probe.tasks:
        graph = "model_embedding" if task == "embedding" else "model"
        for precision, suffix in PRECISIONS.items():
            if task != "encoder":  # of the masked language model's folder, whose graph gives both outputs
                path = Path(probe.folder(task), "onnx", f"{graph}{suffix}.onnx")
                probe.measure(task, partial(open_graph, path, probe.job["threads"]), precision=precision)
    probe.write()


if __name__ == "__main__":
    main()

"""OpenVINO: from the ONNX graphs of every folder, and from the torch models, Transformers' own and ours."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nncf
import openvino
import torch
import transformers
from probing import Arrays, Probe
from transformers import AutoModel, AutoModelForMaskedLM

HINTS = {"float32": "f32", "bfloat16": "bf16"}
AUTO_CLASSES = {"encoder": AutoModel, "masked_lm": AutoModelForMaskedLM}


def compiled(model: Any, hint: str, threads: int) -> Callable[[Arrays], Arrays]:
    """Return the function from inputs to the named outputs of an OpenVINO model."""
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
    network = openvino.compile_model(model, "CPU", settings)
    names = {name for one in network.inputs for name in one.names}

    def run(inputs: Arrays) -> Arrays:
        results = network({name: one for name, one in inputs.items() if name in names})
        return {output.any_name: results[output] for output in network.outputs}

    return run


def from_onnx(path: Path, precision: str, threads: int) -> Callable[[Arrays], Arrays]:
    """Return the function of an ONNX graph."""
    return compiled(openvino.convert_model(path), HINTS.get(precision, "f32"), threads)


def from_torch(folder: str, task: str, is_trusted: bool, threads: int) -> Callable[[Arrays], Arrays]:
    """Return the function of a torch model: ours traced, Transformers' own exported.

    The Transformers that optimum-intel allows cannot trace its own ModernBERT, and with its sdpa OpenVINO gives no
    numbers where the window of a padded token holds padding alone; exported with eager attention it is right.
    """
    given = {"trust_remote_code": True} if is_trusted else {"attn_implementation": "eager"}
    model = AUTO_CLASSES[task].from_pretrained(folder, **given).eval()
    ids = torch.arange(2 * 300).reshape(2, 300) % model.config.vocab_size
    example = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if is_trusted:
        converted = openvino.convert_model(model, example_input=example)
    else:
        free = dict.fromkeys(range(2), torch.export.Dim.DYNAMIC)
        program = torch.export.export(model, (), example, dynamic_shapes=dict.fromkeys(example, free))
        converted = openvino.convert_model(program)
    name = "last_hidden_state" if task == "encoder" else "logits"
    converted.outputs[0].get_tensor().set_names({name})
    return compiled(converted, "f32", threads)


def from_compressed(path: Path, threads: int) -> Callable[[Arrays], Arrays]:
    """Return the function of an ONNX graph whose weights nncf has made int8."""
    return compiled(nncf.compress_weights(openvino.convert_model(path)), "f32", threads)


def from_saved(path: Path, threads: int) -> Callable[[Arrays], Arrays]:
    """Return the function of an ONNX graph that was saved in OpenVINO's own format, weights in half precision."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "model.xml")
        openvino.save_model(openvino.convert_model(path), target)
        return compiled(openvino.Core().read_model(target), "f32", threads)


def main() -> None:
    transformers.logging.set_verbosity_error()
    probe = Probe("OpenVINO", openvino.__version__.partition("-")[0])
    threads = probe.job["threads"]
    for task in [task for task in probe.tasks if task != "encoder"]:
        graph = "model_embedding" if task == "embedding" else "model"
        path, small = (Path(probe.folder(task), "onnx", f"{graph}{suffix}.onnx") for suffix in ("", "_quantized"))
        for precision in HINTS:
            make = partial(from_onnx, path, precision, threads)
            probe.measure(task, make, f"{task}, {path.name}", precision=precision)
        probe.measure(task, partial(from_onnx, small, "int8", threads), f"{task}, {small.name}", precision="int8")
    path = Path(probe.folder("masked_lm"), "onnx", "model.onnx")
    probe.measure("masked_lm", partial(from_compressed, path, threads), "masked_lm, nncf's int8", precision="int8")
    probe.measure("masked_lm", partial(from_saved, path, threads), "masked_lm, saved as IR")
    for task in AUTO_CLASSES:
        for is_trusted in (False, True):
            make = partial(from_torch, probe.folder(task), task, is_trusted, threads)
            probe.measure(task, make, f"{task}, torch, {'our' if is_trusted else 'native'} class")
    probe.write()


if __name__ == "__main__":
    main()

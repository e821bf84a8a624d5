"""From the encoder to ONNX graphs: one export with three outputs, cut into a graph for each.

Exported is the model's own dense path with the eager kernel, since the flat one has shapes that depend on the data:
explicit masks from `attention_mask`, softmax over the whole row. The exporter is torch's (`dynamo=True`); its older one
knows no RMSNorm.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch

from ...modeling import ChineseModernBertForMaskedLM
from ...modeling.heads_chinese_modernbert import pool

INPUTS = ("input_ids", "attention_mask")
# Name of each graph and of its only output; last_hidden_state is what optimum and sentence-transformers ask for.
OUTPUTS = {"encoder": "last_hidden_state", "mlm": "logits", "embedding": "sentence_embedding"}
NEEDED_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# Ours: the oldest that the exporter writes, which every onnxruntime since 1.14 reads; newer ones were no faster.
OPSET = 18
# What one protobuf message holds, less room for everything that is no weight.
LARGEST_GRAPH_BYTES = 2**31 - 2**24


def check_onnx_installed() -> None:
    """Say which extra is missing.

    Raises:
        ImportError: Where a package of the extra `onnx` is absent.
    """
    missing = [name for name in NEEDED_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"ONNX export needs {', '.join(missing)}; pip install 'chinese-modernbert[onnx]'")


class OnnxModel(torch.nn.Module):
    """What is exported: ids and mask `(batch, length)`, int64, to the outputs of all three graphs.

    Hidden states are zero at padding, as those of the encoder outside a graph; the embedding is the mean over real
    tokens scaled to length 1, and zero for a row without any token.
    """

    def __init__(self, model: ChineseModernBertForMaskedLM) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return hidden states `(b, l, hidden)`, logits `(b, l, vocab)` and embeddings `(b, hidden)`, float32."""
        states = self.model.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        states = states * (attention_mask != 0).unsqueeze(-1)
        logits = self.model.decoder(self.model.head(states))
        return states, logits, torch.nn.functional.normalize(pool(states, "mean", attention_mask), dim=-1)


def export_graphs(
    model: ChineseModernBertForMaskedLM, graphs: tuple[str, ...], shape: tuple[int, int] | None = None
) -> dict[str, Any]:
    """Return a float32 graph (`onnx.ModelProto`) for each name.

    Args:
        model: float32, in evaluation mode; its kernel is the eager one meanwhile
        graphs: names of `OUTPUTS`
        shape: `(batch, length)` of a graph for one shape only; default: both are free

    Raises:
        ValueError: For rotary positions that depend on the length of the text, or weights beyond protobuf's limit.
    """
    _check_model(model)
    window = model.config.window
    # A text within the window would be traced without the window's mask, and the graph be wrong for longer ones.
    batch, length = shape or (2, 2 * window + 3)
    ids = torch.arange(batch * length).reshape(batch, length) % model.config.vocab_size
    mask = torch.ones_like(ids)
    mask[-1, length // 2 + 1 :] = 0
    free = {0: "batch", 1: "length"}
    with _eager(model), _quiet(), torch.no_grad():
        program = torch.onnx.export(
            OnnxModel(model).eval(),
            (ids, mask),
            dynamo=True,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS.values()),
            dynamic_shapes=None if shape else (free, free),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    whole = cast(Any, program).model_proto
    return {name: _cut(whole, OUTPUTS[name]) for name in graphs}


def _check_model(model: ChineseModernBertForMaskedLM) -> None:
    """Refuse positions whose table depends on the longest text of the batch, and weights too large for one file."""
    size = sum(4 * parameter.numel() for parameter in model.parameters())
    if size > LARGEST_GRAPH_BYTES:
        raise ValueError(
            f"the weights take {size:,} bytes in float32, one graph holds {LARGEST_GRAPH_BYTES:,}; take a smaller model"
        )
    kinds = {parameters["rope_type"] for parameters in model.config.rope_parameters.values()}
    if "dynamic" in kinds:
        raise ValueError("rope_type='dynamic' changes with the length of a text and has no graph; use 'yarn'")


@contextmanager
def _eager(model: ChineseModernBertForMaskedLM) -> Iterator[None]:
    """Run a block with the eager kernel and set the old one back."""
    before = model.config._attn_implementation or "sdpa"
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says about packages and code that are not the user's."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _cut(whole: Any, output: str) -> Any:
    """Return the part of a model that one output needs, without the traces of source code and folders in it."""
    import onnx
    from onnx.utils import Extractor

    part = Extractor(whole).extract_model(list(INPUTS), [output])
    part.producer_name, part.producer_version, part.doc_string = "chinese_modernbert", "", ""
    part.graph.name, part.graph.doc_string = output, ""
    del part.metadata_props[:], part.graph.metadata_props[:], part.graph.value_info[:]
    for item in (*part.graph.node, *part.graph.initializer, *part.graph.input, *part.graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
    onnx.checker.check_model(part)
    return part

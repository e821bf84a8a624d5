"""From a model to ONNX graphs: one export with every output, cut into a graph for each use.

Exported is the model's own dense path with the eager kernel, since the flat one has shapes that depend on the data:
explicit masks from `attention_mask`, softmax over the whole row. The exporter is torch's (`dynamo=True`).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from ...modeling import ChineseModernBertConfig
from ...modeling.heads_chinese_modernbert import pool
from ..checkpoint import MASKED_LM, OUR_PREFIX
from ..module_forms import splade_weights, token_weights
from ..poolings import LATE_INTERACTION
from ..sentence_modules import SentenceModules

INPUTS = ("input_ids", "attention_mask")
HIDDEN, LOGITS, EMBEDDING = "last_hidden_state", "logits", "sentence_embedding"
# What the graph `embedding` of late interaction gives.
TOKEN_VECTORS = "token_embeddings"
# What the graph `model` gives, which other runtimes look for by name: the outputs of the class. The hidden states come
# first, since fastembed takes the first output; a masked language model has both, since transformers.js asks one file
# for either.
MODEL_OUTPUTS = {
    f"{OUR_PREFIX}Model": (HIDDEN,),
    MASKED_LM: (HIDDEN, LOGITS),
    f"{OUR_PREFIX}ForSequenceClassification": (LOGITS,),
    f"{OUR_PREFIX}ForTokenClassification": (LOGITS,),
    f"{OUR_PREFIX}ForQuestionAnswering": ("start_logits", "end_logits"),
    f"{OUR_PREFIX}ForMultipleChoice": (LOGITS,),
}
MULTIPLE_CHOICE = f"{OUR_PREFIX}ForMultipleChoice"
GRAPHS = ("model", "encoder", "embedding")
# Ours: the oldest that the exporter writes, which every onnxruntime since 1.14 reads; newer ones were no faster.
OPSET = 18
# What one protobuf message holds, less room for everything that is no weight.
LARGEST_GRAPH_BYTES = 2**31 - 2**24


def graphs_of(class_name: str, pooling: str = "mean") -> dict[str, tuple[str, ...]]:
    """Return the graphs that a class of ours has, and the outputs of each.

    `model` gives what the class gives, `encoder` the hidden states without a decoder, `embedding` one vector a text, or
    one a token of late interaction.

    Raises:
        ValueError: For a class without any, whose inputs are made from text.
    """
    if class_name not in MODEL_OUTPUTS:
        raise ValueError(f"{class_name} has no ONNX graph, since its inputs are made from text; leave onnx out")
    graphs = {"model": MODEL_OUTPUTS[class_name]}
    if class_name == MASKED_LM:
        graphs["encoder"] = (HIDDEN,)
    if HIDDEN in graphs["model"]:
        graphs["embedding"] = (TOKEN_VECTORS if pooling == LATE_INTERACTION else EMBEDDING,)
    return graphs


class OnnxModel(torch.nn.Module):
    """What is exported: ids and mask `(batch, length)`, int64, to the outputs of all graphs of a class.

    Multiple choice takes `(batch, choices, length)`. A dense embedding is pooled over real tokens and scaled to length
    1, and zero for a row without any token; a sparse one is `SpladePooling` of the logits, of a text's own tokens alone
    where the folder says so; late interaction has the projected vector of every token, of length 1 where the folder
    says so, before words are skipped or tokens pooled.
    """

    projection: torch.Tensor | None
    own: torch.Tensor | None

    def __init__(self, model: PreTrainedModel, modules: SentenceModules) -> None:
        super().__init__()
        self.model: Any = model
        self.behind = modules
        self.outputs = output_names(type(model).__name__, modules.pooling)
        dense, own = modules.module("Dense"), modules.module("SparseStaticEmbedding")
        self.register_buffer("projection", dense.tensors["linear.weight"].float() if dense else None)
        self.register_buffer("own", own.tensors["weight"].float() if own else None)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs, float32, in the order of `self.outputs`."""
        if HIDDEN not in self.outputs:
            given = self.model(input_ids=input_ids, attention_mask=attention_mask)
            return tuple(getattr(given, name) for name in self.outputs)
        states = self.model.base_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        results = {HIDDEN: states}
        if LOGITS in self.outputs:
            results[LOGITS] = self.model.decoder(self.model.head(states))
        if TOKEN_VECTORS in self.outputs:
            results[TOKEN_VECTORS] = token_vectors(states, self.projection, self.behind)
        elif splade := self.behind.module("SpladePooling"):
            weights = splade_weights(results[LOGITS] * attention_mask.unsqueeze(-1), splade.settings)
            own = None if self.own is None else token_weights(input_ids, attention_mask, self.own)
            results[EMBEDDING] = weights if own is None else weights * own
        else:
            pooled = pool(states, self.behind.pooling, attention_mask != 0)
            results[EMBEDDING] = torch.nn.functional.normalize(pooled, dim=-1)
        return tuple(results[name] for name in self.outputs)


def token_vectors(states: torch.Tensor, projection: torch.Tensor | None, modules: SentenceModules) -> torch.Tensor:
    """Return the vectors of late interaction.

    Args:
        states: hidden states, `(..., hidden)`
        projection: `(vector, hidden)`; None = none
        modules: those of the folder

    Returns:
        `(..., vector)`, of length 1 where the folder says so.
    """
    vectors = states if projection is None else torch.nn.functional.linear(states, projection)
    return torch.nn.functional.normalize(vectors, dim=-1) if modules.module("Normalize") else vectors


def output_names(class_name: str, pooling: str = "mean") -> tuple[str, ...]:
    """Return every output of the graphs of a class, each once."""
    return tuple(dict.fromkeys(name for outputs in graphs_of(class_name, pooling).values() for name in outputs))


def export_graphs(
    model: PreTrainedModel,
    graphs: Mapping[str, tuple[str, ...]],
    shape: tuple[int, int] | None = None,
    modules: SentenceModules | None = None,
) -> dict[str, Any]:
    """Return a float32 graph (`onnx.ModelProto`) for each name.

    Args:
        model: of one of our classes, float32, in evaluation mode; its kernel is the eager one meanwhile
        graphs: outputs by the name of the graph, some of `graphs_of`
        shape: `(batch, length)` of a graph for one shape only; default: both are free
        modules: what is behind the encoder; default: a mean over tokens

    Raises:
        ValueError: For weights beyond protobuf's limit.
    """
    _check_model(model)
    config: ChineseModernBertConfig = cast(Any, model).config
    batch, length = shape or (2, 16)  # any: nothing is decided on a size
    ids = torch.arange(batch * length).reshape(batch, length) % config.vocab_size
    mask = torch.ones_like(ids)
    mask[-1, length // 2 + 1 :] = 0
    free = {0: "batch", 1: "length"}
    if type(model).__name__ == MULTIPLE_CHOICE:
        ids, mask, free = torch.stack([ids, ids]), torch.stack([mask, mask]), {0: "batch", 1: "choices", 2: "length"}
    exported = OnnxModel(model, modules or SentenceModules()).eval()
    with _eager(model), _quiet(), torch.no_grad():
        program = torch.onnx.export(
            exported,
            (ids, mask),
            dynamo=True,
            input_names=list(INPUTS),
            output_names=list(exported.outputs),
            dynamic_shapes=None if shape else (free, free),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    whole = cast(Any, program).model_proto
    return {name: _cut(whole, name, outputs) for name, outputs in graphs.items()}


def _check_model(model: PreTrainedModel) -> None:
    """Refuse weights too large for one file."""
    size = sum(4 * parameter.numel() for parameter in model.parameters())
    if size > LARGEST_GRAPH_BYTES:
        raise ValueError(
            f"the weights take {size:,} bytes in float32, one graph holds {LARGEST_GRAPH_BYTES:,}; take a smaller model"
        )


@contextmanager
def _eager(model: PreTrainedModel) -> Iterator[None]:
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


def _cut(whole: Any, name: str, outputs: tuple[str, ...]) -> Any:
    """Return the part of a model that some outputs need, without the traces of source code and folders in it."""
    import onnx
    from onnx.utils import Extractor

    part = Extractor(whole).extract_model(list(INPUTS), list(outputs))
    part.producer_name, part.producer_version, part.doc_string = "chinese_modernbert", "", ""
    part.graph.name, part.graph.doc_string = name, ""
    del part.metadata_props[:], part.graph.metadata_props[:], part.graph.value_info[:]
    for item in (*part.graph.node, *part.graph.initializer, *part.graph.input, *part.graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
    onnx.checker.check_model(part)
    return part

"""A graph recorded at any length, by any road, is right at every other length, in comparison with the eager kernel.

The lengths lie around the window of 64 tokens and the border between kernels, which are where a decision on a size that
was taken while recording would show.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from chinese_modernbert.modeling import (
    ChineseModernBertConfig,
    ChineseModernBertForMaskedLM,
    ChineseModernBertForQuestionAnswering,
    ChineseModernBertForSequenceClassification,
    ChineseModernBertForTokenClassification,
    ChineseModernBertModel,
)
from chinese_modernbert.modeling import kernels_chinese_modernbert as kernels

MakeConfig = Callable[..., ChineseModernBertConfig]
Batch = dict[str, torch.Tensor]
Graph = Callable[..., tuple[torch.Tensor, ...]]
Record = Callable[[torch.nn.Module, Batch], Graph]

RECORDED_AT = (16, 64, 65, 66, 130)
RUN_AT = (8, 65, 129, 300)
WINDOW = 64
HEADS = (
    ChineseModernBertForMaskedLM,
    ChineseModernBertForQuestionAnswering,
    ChineseModernBertForSequenceClassification,
    ChineseModernBertForTokenClassification,
)


def batch(length: int, second: str = "attention_mask", rows: int = 2) -> Batch:
    """Return a batch with padding, or of packed documents, that no other length shares."""
    ids = torch.randint(5, 200, (rows, length), generator=torch.Generator().manual_seed(length))
    mask = torch.ones_like(ids)
    mask[-1, (length + 1) // 2 :] = 0
    if second == "attention_mask":
        return {"input_ids": ids, "attention_mask": mask}
    return {"input_ids": ids, "document_ids": (torch.arange(length) // 50).expand(rows, -1).where(mask == 1, -1)}


class Outputs(torch.nn.Module):
    """A model that takes two tensors in order and gives its outputs as a tuple, as recorders want it."""

    def __init__(self, model: Any, second: str) -> None:
        super().__init__()
        self.model, self.second = model, second

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.model(input_ids=first, **{self.second: second}).to_tuple()


def traced(module: torch.nn.Module, given: Batch) -> Graph:
    return torch.jit.trace(module, tuple(given.values()))


def exported(module: torch.nn.Module, given: Batch, strict: bool = False) -> Graph:
    sizes = {0: torch.export.Dim("batch", min=1, max=64), 1: torch.export.Dim("length", min=3, max=512)}
    return torch.export.export(module, tuple(given.values()), dynamic_shapes=(sizes, sizes), strict=strict).module()


def exported_strictly(module: torch.nn.Module, given: Batch) -> Graph:
    return exported(module, given, strict=True)


def onnx_graph(model: bytes) -> Graph:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(model)
    names = [one.name for one in session.get_inputs()]

    def run(*given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = session.run(None, {name: one.numpy() for name, one in zip(names, given, strict=True)})
        return tuple(torch.from_numpy(np.asarray(one)) for one in found)

    return run


def onnx(module: torch.nn.Module, given: Batch) -> Graph:
    free = {0: "batch", 1: "length"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            module, tuple(given.values()), dynamo=True, dynamic_shapes=(free, free), verbose=False
        )
    return onnx_graph(program.model_proto.SerializeToString())


def onnx_of_optimum(module: Any, given: Batch) -> Graph:
    """Record with the older exporter and the arguments that Optimum gives it: a dictionary, and the model itself."""
    free, file = {0: "batch_size", 1: "sequence_length"}, io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.model,
            (dict(given),),
            file,
            input_names=list(given),
            dynamic_axes=dict.fromkeys(given, free),
            do_constant_folding=True,
            opset_version=18,
            dynamo=False,
        )
    return onnx_graph(file.getvalue())


RECORDERS: tuple[Record, ...] = (traced, exported, exported_strictly, onnx, onnx_of_optimum)


def random_model(model_class: Any, config: ChineseModernBertConfig) -> Any:
    torch.manual_seed(0)
    return model_class(config).eval()


@torch.no_grad()
def right_at_every_length(graph: Graph, model: Any, second: str, lengths: tuple[int, ...] = RUN_AT) -> None:
    kernel = model.config._attn_implementation
    model.set_attn_implementation("eager")
    for length in lengths:
        given = batch(length, second, rows=3)
        found, expected = graph(*given.values()), model(**given).to_tuple()
        torch.testing.assert_close(tuple(found), expected, atol=2e-5, rtol=1e-4)
    model.set_attn_implementation(kernel)


@pytest.fixture(autouse=True)
def bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the border between kernels among the lengths."""
    monkeypatch.setattr(kernels, "BANDED_FROM_TOKENS", 100)


@pytest.mark.parametrize("recorded_at", RECORDED_AT)
@pytest.mark.parametrize("record", RECORDERS, ids=lambda record: record.__name__)
def test_a_graph_of_any_length_is_right_at_any_length(
    tiny_config: MakeConfig, record: Record, recorded_at: int
) -> None:
    model = random_model(ChineseModernBertModel, tiny_config(num_hidden_layers=2, local_attention=2 * WINDOW))
    with torch.no_grad():
        graph = record(Outputs(model, "attention_mask").eval(), batch(recorded_at))
    right_at_every_length(graph, model, "attention_mask")


@pytest.mark.parametrize("record", [traced, exported, exported_strictly], ids=lambda record: record.__name__)
def test_a_graph_knows_packed_documents(tiny_config: MakeConfig, record: Record) -> None:
    """ONNX has no running maximum, which tells where a document begins: there the exporters refuse."""
    model = random_model(ChineseModernBertModel, tiny_config(num_hidden_layers=2, local_attention=16))
    with torch.no_grad():
        graph = record(Outputs(model, "document_ids").eval(), batch(16, "document_ids"))
    right_at_every_length(graph, model, "document_ids")


@pytest.mark.parametrize("record", RECORDERS, ids=lambda record: record.__name__)
def test_a_graph_computes_positions_that_grow_with_the_longest_text(tiny_config: MakeConfig, record: Record) -> None:
    rope = {"full_attention": {"rope_type": "dynamic", "factor": 4.0}}
    config = tiny_config(num_hidden_layers=2, max_position_embeddings=40, rope_parameters=rope)
    model = random_model(ChineseModernBertModel, config)
    with torch.no_grad():
        graph = record(Outputs(model, "attention_mask").eval(), batch(16))
    right_at_every_length(graph, model, "attention_mask")


@pytest.mark.parametrize(
    ("head", "pooling"),
    [*((head, "mean") for head in HEADS), (ChineseModernBertForSequenceClassification, "cls")],
    ids=lambda value: getattr(value, "__name__", value).removeprefix("ChineseModernBertFor"),
)
@pytest.mark.parametrize("record", [traced, exported, onnx_of_optimum], ids=lambda record: record.__name__)
def test_a_graph_of_any_head_is_right_at_any_length(
    tiny_config: MakeConfig, record: Record, head: Any, pooling: str
) -> None:
    model = random_model(head, tiny_config(num_hidden_layers=2, num_labels=3, classifier_pooling=pooling))
    with torch.no_grad():
        graph = record(Outputs(model, "attention_mask").eval(), batch(16))
    right_at_every_length(graph, model, "attention_mask")


@pytest.mark.parametrize(
    ("head", "labels_of"),
    [
        (ChineseModernBertForMaskedLM, lambda ids: torch.where(ids % 2 == 0, ids, -100)),
        (ChineseModernBertForTokenClassification, lambda ids: torch.where(ids % 2 == 0, ids % 3, -100)),
        (ChineseModernBertForSequenceClassification, lambda ids: ids[:, 0] % 3),
        (ChineseModernBertForSequenceClassification, lambda ids: (ids[:, :3] % 2).float()),
    ],
    ids=["MaskedLM", "TokenClassification", "classes", "several labels"],
)
def test_a_traced_loss_is_right_at_any_size(
    tiny_config: MakeConfig, head: Any, labels_of: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = random_model(head, tiny_config(num_hidden_layers=2, num_labels=3))

        def forward(self, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids=ids, labels=labels).loss

    module, ids = Loss(), batch(16)["input_ids"]
    graph = torch.jit.trace(module, (ids, labels_of(ids)))
    for length in RUN_AT:
        ids = batch(length, rows=5)["input_ids"]
        torch.testing.assert_close(graph(ids, labels_of(ids)), module(ids, labels_of(ids)))

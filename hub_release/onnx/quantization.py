"""int8 graphs: matrices by output channel, token embeddings by row, everything else in float32.

onnxruntime's dynamic quantization does the matrix products: weights are int8 with a scale for each output, inputs
become uint8 with a scale found at run time, products of two activations (attention) stay as they are. The embeddings
are done here, since it would give their whole matrix one scale.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

LARGEST_INT8 = 127


def quantize_graph(graph: Any, with_embeddings: bool = True) -> Any:
    """Return the int8 form of a float32 graph; the given one is left as it is.

    Args:
        graph: an `onnx.ModelProto` as `export_graphs` gives it
        with_embeddings: also the token embeddings; else they stay float32
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    _fold_transposed_weights(copy)
    # Without this mark onnxruntime advises to infer shapes first, which the exporter has done.
    copy.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory(prefix="quantize_graph_") as folder:
        path = Path(folder) / "model.onnx"
        quantize_dynamic(copy, path, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul"])
        result = onnx.load(str(path))
    if with_embeddings:
        _quantize_embeddings(result)
    result.producer_name, result.producer_version = graph.producer_name, ""
    del result.graph.value_info[:], result.metadata_props[:]
    onnx.checker.check_model(result)
    return result


def _fold_transposed_weights(model: Any) -> None:
    """Replace the transpose of a weight, such as a tied decoder, by a stored matrix: only stored ones become int8."""
    from onnx import numpy_helper

    weights = {weight.name: weight for weight in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Transpose" and node.input[0] in weights]:
        order = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), None)
        transposed = np.ascontiguousarray(numpy_helper.to_array(weights[node.input[0]]).transpose(order))
        model.graph.initializer.append(numpy_helper.from_array(transposed, node.output[0]))
        model.graph.node.remove(node)
    _drop_unused_weights(model)


def _quantize_embeddings(model: Any) -> None:
    """Replace rows looked up in a float32 matrix by int8 rows times a scale of each row."""
    from onnx import TensorProto, helper, numpy_helper

    weights = {weight.name: weight for weight in model.graph.initializer if len(weight.dims) == 2}
    for node in [node for node in model.graph.node if node.op_type == "Gather" and node.input[0] in weights]:
        name, ids, result = node.input[0], node.input[1], node.output[0]
        table = numpy_helper.to_array(weights[name])
        if table.dtype != np.float32:
            continue
        scales = np.abs(table).max(axis=1, keepdims=True) / np.float32(LARGEST_INT8)
        scales[scales == 0] = 1.0  # the row of the padding token
        rows = np.rint(table / scales).astype(np.int8)
        model.graph.initializer.append(numpy_helper.from_array(rows, f"{name}_int8"))
        model.graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scales"))
        position = list(model.graph.node).index(node)
        model.graph.node.remove(node)
        new = [
            helper.make_node("Gather", [f"{name}_int8", ids], [f"{result}_int8"]),
            helper.make_node("Cast", [f"{result}_int8"], [f"{result}_rows"], to=TensorProto.FLOAT),
            helper.make_node("Gather", [f"{name}_scales", ids], [f"{result}_scales"]),
            helper.make_node("Mul", [f"{result}_rows", f"{result}_scales"], [result]),
        ]
        for offset, one in enumerate(new):
            model.graph.node.insert(position + offset, one)
    _drop_unused_weights(model)


def _drop_unused_weights(model: Any) -> None:
    """Remove weights that no node reads."""
    used = {name for node in model.graph.node for name in node.input}
    for weight in [weight for weight in model.graph.initializer if weight.name not in used]:
        model.graph.initializer.remove(weight)

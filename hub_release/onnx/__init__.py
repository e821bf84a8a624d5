"""ONNX graphs of a release: export, quantization, checks."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .export import export_onnx
    from .files import OnnxOptions, write_onnx_folder
    from .graphs import OnnxModel, export_graphs
    from .quantization import quantize_graph
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["OnnxModel", "OnnxOptions", "export_graphs", "export_onnx", "quantize_graph", "write_onnx_folder"]

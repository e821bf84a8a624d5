"""Which ONNX files a folder holds, and how they are written: exported, compared with torch, then renamed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ... import __version__
from ...runtime.files import new_output_folder
from ...runtime.lazy import EXTRAS, require_packages
from ..checkpoint import read_json_object, write_json
from ..sentence_modules import SentenceModules
from .check import GraphFile, checked_agreement, graph_file
from .graphs import EMBEDDING, GRAPHS, HIDDEN, INPUTS, LOGITS, OPSET, export_graphs, graphs_of
from .isolated_check import BARS
from .quantization import quantize_graph

ONNX_FOLDER = "onnx"
# Says what the graphs are, and marks the folder as one that may be replaced.
RECORD_FILE = "export.json"
# Outputs by the names that graphs had in earlier releases, when each had one and `model.onnx` was the encoder.
OLD_OUTPUTS = {"encoder": (HIDDEN,), "mlm": (LOGITS,), "embedding": (EMBEDDING,)}


@dataclass(frozen=True)
class OnnxOptions:
    """What to export.

    Attributes:
        precisions: `fp32` and `int8`, one or both
        graphs: some of `model` (what the class gives), `encoder` (hidden states alone) and `embedding` (one vector a
            text, length 1); empty = `model`, and `embedding` where the class has it
        shape: `(batch, length)` of further graphs for this shape alone; `None` = none

    Raises:
        ValueError: For nothing to export, an unknown name or a shape below 1.
    """

    precisions: tuple[str, ...] = ("fp32",)
    graphs: tuple[str, ...] = ()
    shape: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, given, known in (("onnx", self.precisions, BARS), ("onnx_graphs", self.graphs, GRAPHS)):
            wrong = [one for one in given if one not in known]
            if wrong or (name == "onnx" and not given):
                raise ValueError(f"{name}={','.join(given)!r} is not offered; use one or more of {','.join(known)}")
        if self.shape and min(self.shape) < 1:
            raise ValueError(f"onnx_shape={self.shape[0]}x{self.shape[1]} has a size below 1; use BATCHxLENGTH")

    @classmethod
    def parse(cls, precisions: str, graphs: str = "", shape: str = "") -> OnnxOptions:
        """Read the options as they are written on the command line: `fp32,int8`, `model,embedding` and `8x128`."""
        sizes = re.fullmatch(r"(\d+)x(\d+)", shape)
        if shape and not sizes:
            raise ValueError(f"onnx_shape={shape!r} is no shape; write BATCHxLENGTH, such as 8x128")
        names = [
            tuple(dict.fromkeys(part.strip() for part in text.split(","))) if text else ()
            for text in (precisions, graphs)
        ]
        return cls(names[0], names[1], (int(sizes[1]), int(sizes[2])) if sizes else None)

    def outputs(self, class_name: str, pooling: str = "mean") -> dict[str, tuple[str, ...]]:
        """Return the graphs of a class that these options ask for, and the outputs of each.

        Raises:
            ValueError: For a graph that the class does not have.
        """
        known = graphs_of(class_name, pooling)
        wrong = [name for name in self.graphs if name not in known]
        if wrong:
            raise ValueError(f"onnx_graphs={wrong[0]!r} is none of {class_name}, which has {', '.join(known)}")
        return {name: known[name] for name in self.graphs or [name for name in known if name != "encoder"]}


def write_onnx_folder(
    target: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    options: OnnxOptions,
    texts: Sequence[str] = (),
    overwrite: bool = False,
    modules: SentenceModules | None = None,
) -> Path:
    """Write the graphs of a model and their record into a new folder.

    Args:
        target: the folder; complete, or not there if anything fails
        model: of one of our classes, float32, in evaluation mode
        tokenizer: the model's
        options: what to export
        texts: what graphs are compared with torch on; default: see `check_batches`
        overwrite: replace an earlier export
        modules: what is behind the encoder; default: a mean over tokens

    Raises:
        ImportError: Without the packages of the extra `onnx`.
        FileExistsError: For a folder that holds something else, or an earlier export without `overwrite`.
        ValueError: For a graph that the class does not have, a shape that the model does not reach, or a graph that
            does not give the model's numbers.
    """
    require_packages("ONNX graphs", EXTRAS["onnx"])
    longest = cast(Any, model).config.max_position_embeddings
    modules = modules or SentenceModules()
    graphs = options.outputs(type(model).__name__, modules.pooling)
    if options.shape and options.shape[1] > longest:
        raise ValueError(f"onnx_shape has {options.shape[1]} tokens, the model max_position_embeddings={longest}")
    with new_output_folder(target, overwrite=overwrite, marker=RECORD_FILE) as folder:
        rows = []
        for file, graph in _graphs(model, graphs, options, modules):
            (folder / file.name).write_bytes(graph.SerializeToString(deterministic=True))
            reached = checked_agreement(folder / file.name, file, model, tokenizer, texts, modules)
            row = {"file": file.name, "graph": file.graph, "precision": file.precision, "shape": file.shape}
            rows.append({**row, "outputs": list(file.outputs), "lowest_cosine": round(reached.cosine, 4)})
        record = {"library_version": __version__, "opset": OPSET, "inputs": list(INPUTS), "files": rows}
        write_json(folder / RECORD_FILE, record)
    return target


def _graphs(
    model: PreTrainedModel, graphs: dict[str, tuple[str, ...]], options: OnnxOptions, modules: SentenceModules
) -> Iterator[tuple[GraphFile, Any]]:
    """Yield every file and its `onnx.ModelProto`; one export serves all graphs of a shape."""
    for shape in (None, options.shape) if options.shape else (None,):
        exported = export_graphs(model, graphs, shape, modules)
        for name, outputs in graphs.items():
            graph = exported.pop(name)
            for precision in options.precisions:
                file = graph_file(name, outputs, precision, shape)
                yield file, graph if precision == "fp32" else quantize_graph(graph)


def exported_files(folder: Path) -> list[GraphFile]:
    """Return the graphs that a released folder holds by its record; none where there is no record.

    Raises:
        ValueError: For a record that cannot be read.
    """
    path = folder / ONNX_FOLDER / RECORD_FILE
    if not path.is_file():
        return []
    try:
        files = [_recorded_file(row) for row in read_json_object(path)["files"]]
        OnnxOptions(tuple(file.precision for file in files))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not as it was written ({error!r}); export again") from error
    return files


def _recorded_file(row: dict[str, Any]) -> GraphFile:
    """Return a file from its row of the record; earlier ones had one `output`."""
    name, outputs = row["file"], tuple(row["outputs"]) if "outputs" in row else OLD_OUTPUTS[row["graph"]]
    if Path(name).name != name:
        raise ValueError(f"{ONNX_FOLDER}/{RECORD_FILE} names {name!r}, a plain file name is needed")
    return GraphFile(name, outputs, row["graph"], row["precision"], row["shape"] and tuple(row["shape"]))


def unrecorded_graphs(folder: Path) -> list[str]:
    """Return the graphs in the folder `onnx`, relative to it, that its record does not name.

    Raises:
        ValueError: For a record that cannot be read.
    """
    onnx = folder / ONNX_FOLDER
    present = {path.relative_to(onnx).as_posix() for path in onnx.rglob("*.onnx")}
    return sorted(present - {file.name for file in exported_files(folder)})

"""Give a released folder, or a checkpoint, its ONNX graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...runtime.lazy import EXTRAS, require_packages
from ..checkpoint import (
    architecture_of,
    check_weights,
    drop_tied_decoder,
    float_model,
    read_config,
    read_matching_tokenizer,
    read_model_config,
    read_weights,
)
from ..manifest import renew_manifest
from ..module_chains import encoder_folder
from ..sentence_modules import SentenceModules
from .files import ONNX_FOLDER, OnnxOptions, write_onnx_folder


def export_onnx(
    folder: str | Path,
    options: OnnxOptions | None = None,
    texts: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Write the ONNX graphs of a folder into its sub-folder `onnx`.

    Args:
        folder: a release, or a checkpoint of any of our classes with its tokenizer
        options: what to export; default: the graphs that other runtimes look for, in float32
        texts: what graphs are compared with torch on; default: short and long probe texts, padded and alone
        overwrite: replace an earlier export

    Returns:
        The folder `onnx`, complete; where anything fails it is as it was before.

    Raises:
        ImportError: Without the packages of the extra `onnx`.
        FileNotFoundError: For a missing folder, config, weights or tokenizer.
        FileExistsError: For a folder `onnx` that holds something else, or an earlier export without `overwrite`.
        ValueError: For parts that do not fit together, or a graph that does not give the model's numbers.
    """
    require_packages("ONNX graphs", EXTRAS["onnx"])
    folder, options = Path(folder), options or OnnxOptions()
    encoder = encoder_folder(folder)
    config = read_model_config(encoder)
    tokenizer = read_matching_tokenizer(encoder, config)
    tensors = drop_tied_decoder(read_weights(encoder), config.tie_word_embeddings)
    class_name = architecture_of(read_config(encoder), tensors)
    check_weights(tensors, class_name, config, encoder)
    modules = SentenceModules.read(folder) if "embedding" in options.outputs(class_name) else None
    if modules:
        modules.check(config, tokenizer, folder)
    model = float_model(config, tensors, class_name)
    target = write_onnx_folder(folder / ONNX_FOLDER, model, tokenizer, options, texts, overwrite, modules)
    renew_manifest(folder, ONNX_FOLDER)
    return target

"""Give a released folder, or a checkpoint, its ONNX graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ...modeling import ChineseModernBertConfig, ChineseModernBertModel
from ..checkpoint import (
    HEAD_PREFIXES,
    check_masked_lm_weights,
    check_shapes,
    drop_tied_decoder,
    parameter_shapes,
    read_matching_tokenizer,
    read_model_config,
    read_weights,
)
from ..manifest import renew_manifest
from .files import ONNX_FOLDER, OnnxOptions, float_model, write_onnx_folder
from .graphs import check_onnx_installed

ENCODER_PREFIX = "model."


def export_onnx(
    folder: str | Path,
    options: OnnxOptions | None = None,
    texts: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Write the ONNX graphs of a folder into its sub-folder `onnx`.

    Args:
        folder: a release, or a checkpoint with its tokenizer; one without the masked-language-model head, such as a
            sentence encoder, has the graphs `encoder` and `embedding`
        options: what to export; default: every graph in float32
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
    check_onnx_installed()
    folder, options = Path(folder), options or OnnxOptions()
    config = read_model_config(folder)
    tokenizer = read_matching_tokenizer(folder, config)
    model = float_model(config, _read_encoder(folder, config, needs_head="mlm" in options.graphs))
    target = write_onnx_folder(folder / ONNX_FOLDER, model, tokenizer, options, texts, overwrite)
    renew_manifest(folder, ONNX_FOLDER)
    return target


def _read_encoder(folder: Path, config: ChineseModernBertConfig, needs_head: bool) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint under the names of the masked language model, checked."""
    tensors = drop_tied_decoder(read_weights(folder), config.tie_word_embeddings)
    if not any(name.startswith(ENCODER_PREFIX) for name in tensors):  # saved from the encoder's own class
        tensors = {f"{ENCODER_PREFIX}{name}": tensor for name, tensor in tensors.items()}
    if needs_head:
        check_masked_lm_weights(tensors, config, folder)
        return tensors
    heads = (*HEAD_PREFIXES, "classifier.")
    encoder = {name: tensor for name, tensor in tensors.items() if not name.startswith(heads)}
    expected = parameter_shapes(ChineseModernBertModel, config)
    check_shapes(encoder, {f"{ENCODER_PREFIX}{name}": shape for name, shape in expected.items()}, folder)
    return encoder

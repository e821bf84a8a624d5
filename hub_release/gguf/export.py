"""The command `gguf`: a native release through llama.cpp's own converter, with our tokens, and checked."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ...runtime.files import followed, make_folder
from ...runtime.process_end import CheckFailedError
from ..arguments import GgufArguments
from ..checkpoint import (
    ENCODER_PREFIX,
    NATIVE_MODEL_TYPE,
    read_config,
    read_json_object,
    read_weights,
    write_json,
    write_weights,
)
from ..sentence_modules import SentenceModules
from ..verification.isolated_process import last_line, run_captured
from .check import check_gguf, find_binaries
from .tokenizer import PRE_TOKENIZER, rewrite_tokenizer

logger = logging.getLogger(__name__)

CONVERTER = "convert_hf_to_gguf.py"
VOCABULARY_SOURCE = "src/llama-vocab.cpp"
CONVERTER_PROCESS = Path(__file__).parent / "converter_process.py"
ENCODERS = ("ModernBertModel", "ModernBertForMaskedLM")
# What the converter reads beside config, weights and tokenizer.json: names of special tokens, and the pooling.
COPIED = ("tokenizer_config.json", "special_tokens_map.json", "modules.json", "1_Pooling")
# llama.cpp has no tensors for these biases and would stop when it loads the file.
BIASES = ("norm_bias", "attention_bias", "mlp_bias")
ACTIVATIONS = ("gelu", "silu")  # Source: src/models/modern-bert.cpp, the gated products it knows
TIME_LIMIT_SECONDS = 3600.0


def export_gguf(args: GgufArguments) -> str:
    """Write a GGUF file from a release, compare it with the release where llama.cpp is built, and return the report.

    Raises:
        FileNotFoundError: Where the release or the checkout lacks a file.
        FileExistsError: Where the output exists and may not be replaced.
        ValueError: For a release or a checkout that cannot be used.
        RuntimeError: Where the converter fails.
        CheckFailedError: With the report, where tokens or hidden states differ; the file stays.
    """
    release, checkout, target = Path(args.model), Path(args.llama_cpp), followed(args.output_file)
    config = read_config(release)
    check_config(config, release)
    check_modules(release)
    check_checkout(checkout)
    if target.exists() and not args.overwrite:
        raise FileExistsError(f"{target} exists; give another output_file or set overwrite to replace it")
    make_folder(target.parent)
    with tempfile.TemporaryDirectory(prefix="gguf_") as temporary:
        folder = Path(temporary) / release.resolve().name  # the converter names the model after its folder
        write_converter_input(release, config, folder)
        partial = target.with_name(f".{target.name}.partial")
        try:
            _convert(args, folder, partial)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
        lines = [f"{target}: {target.stat().st_size / 1e6:.1f} MB, {args.outtype}"]
        binaries = find_binaries(checkout)
        if binaries is None:
            lines.append(f"not checked: {checkout} has no built llama-tokenize and llama-embedding")
            return "\n".join(lines)
        faults, facts = check_gguf(target, release, folder, binaries, args.outtype)
    report = "\n".join([*lines, *facts, *faults])
    if faults:
        raise CheckFailedError(report)
    return report


def check_config(config: dict[str, Any], release: Path) -> None:
    """Refuse a release that llama.cpp cannot compute.

    Raises:
        ValueError: For another model type, a head that a GGUF file cannot hold, or a setting that llama.cpp lacks.
    """
    model_type = config.get("model_type")
    if model_type != NATIVE_MODEL_TYPE:
        ours = "build it again with this version; if it stays so, its card says why it has no native form"
        hint = ours if model_type == "chinese_modernbert" else "give a native release"
        raise ValueError(f"{release} has model_type={model_type!r}, llama.cpp reads only 'modernbert'; {hint}")
    given = (config.get("architectures") or [None])[0]
    if given not in ENCODERS:
        raise ValueError(f"{release} holds a {given}; only {' and '.join(ENCODERS)} are written, for hidden states")
    unknown = [name for name in BIASES if config.get(name)]
    if config.get("norm_type", "layernorm") != "layernorm":
        unknown.append("norm_type")
    if config.get("hidden_activation", "gelu") not in ACTIVATIONS:
        unknown.append("hidden_activation")
    if config.get("local_attention", 128) % 2:
        unknown.append("local_attention")
    period = config.get("global_attn_every_n_layers", 3)
    layers = config.get("layer_types") or []
    if any((kind == "full_attention") != (index % period == 0) for index, kind in enumerate(layers)):
        unknown.append("layer_types")
    if unknown:
        values = ", ".join(f"{name}={config.get(name)!r}" for name in unknown)
        raise ValueError(f"{release} has {values}, which llama.cpp's ModernBERT cannot compute; train without it")


def check_modules(release: Path) -> None:
    """Refuse a release whose embeddings need modules that llama.cpp would pass over without a word.

    Raises:
        ValueError: For late interaction, and for sparse encoders whose queries have no model.
    """
    modules = SentenceModules.read(release)
    if modules and modules.is_two_sided:
        raise ValueError(
            f"{release} has modules for queries and documents, which llama.cpp has no place for; take a dense encoder, "
            "or ONNX graphs of this one"
        )


def check_checkout(checkout: Path) -> None:
    """Refuse a folder that is no checkout of llama.cpp, or one that lacks the pre-tokenizer.

    Raises:
        FileNotFoundError: Where the converter or the source of its vocabularies is missing.
        ValueError: Where the checkout does not know the pre-tokenizer.
    """
    for name in (CONVERTER, VOCABULARY_SOURCE):
        if not (checkout / name).is_file():
            raise FileNotFoundError(f"llama_cpp={checkout} has no {name}; give a source checkout")
    if f'"{PRE_TOKENIZER}"' not in (checkout / VOCABULARY_SOURCE).read_text(encoding="utf-8"):
        raise ValueError(f"llama_cpp={checkout} lacks the pre-tokenizer {PRE_TOKENIZER}; take a newer llama.cpp")


def write_converter_input(release: Path, config: dict[str, Any], folder: Path) -> None:
    """Write what the converter reads: the encoder's weights, its config, and the rewritten tokenizer.

    The head that fills masks stays behind, since llama.cpp computes hidden states alone.
    """
    tokenizer = release / "tokenizer.json"
    if not tokenizer.is_file():
        raise FileNotFoundError(f"{release} has no tokenizer.json; give a whole release")
    folder.mkdir()
    weights = read_weights(release)
    is_whole = any(name.startswith(ENCODER_PREFIX) for name in weights)
    kept = {name: tensor for name, tensor in weights.items() if name.startswith(ENCODER_PREFIX) or not is_whole}
    write_weights(kept, folder / "model.safetensors")
    # The converter looks for the epsilon under the name that the first ModernBERT has beside Transformers' own.
    own = {key: value for key, value in config.items() if key != "auto_map"}
    own |= {"layer_norm_eps": own.get("norm_eps", 1e-5), "architectures": list(ENCODERS[:1])}
    write_json(folder / "config.json", own)
    write_json(folder / "tokenizer.json", rewrite_tokenizer(read_json_object(tokenizer)))
    for name in COPIED:
        if (release / name).is_dir():
            shutil.copytree(release / name, folder / name)
        elif (release / name).is_file():
            shutil.copy(release / name, folder / name)


def _convert(args: GgufArguments, folder: Path, target: Path) -> None:
    """Run the checkout's converter in a process of its own, without network."""
    checkout = str(Path(args.llama_cpp).resolve())
    command = [args.python, "-P", str(CONVERTER_PROCESS), checkout, PRE_TOKENIZER, str(folder)]
    logger.info("converting with %s", Path(checkout) / CONVERTER)
    command += ["--outfile", str(target.absolute()), "--outtype", args.outtype]
    process = run_captured(command, TIME_LIMIT_SECONDS, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if process.returncode or not target.is_file():
        raise RuntimeError(f"llama.cpp's converter ended with {process.returncode}: {last_line(process)}")

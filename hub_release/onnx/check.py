"""The numbers that ONNX graphs must give, computed by the local classes: batches of several lengths, with padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ..module_forms import splade_weights, token_weights
from ..sentence_modules import SentenceModules
from ..verification.probes import PROBE_TEXTS
from .graphs import EMBEDDING, HIDDEN, MULTIPLE_CHOICE, TOKEN_VECTORS
from .isolated_check import Agreement, check_graph, faults

BATCH_SIZE = 8
# Beyond the window on both sides, so that a graph without its mask gives other numbers.
TOKENS_OVER_THE_WINDOW = 20
# Padding has no length to divide by.
TINY = 1e-12


class GraphFile(NamedTuple):
    """One file of the folder `onnx`.

    Attributes:
        name: file name
        outputs: names of what it gives, in order
        graph: which of `graphs.GRAPHS` it is
        precision: `fp32` or `int8`
        shape: `(batch, length)` of a graph for one shape only; `None` = any
    """

    name: str
    outputs: tuple[str, ...]
    graph: str
    precision: str
    shape: tuple[int, int] | None = None


def graph_file(graph: str, outputs: tuple[str, ...], precision: str, shape: tuple[int, int] | None = None) -> GraphFile:
    """Return a file by what it is: `model`, the graph unless that is it, its shape if fixed, `quantized` if int8.

    transformers.js, fastembed, text-embeddings-inference and optimum look for `model.onnx` and `model_quantized.onnx`.
    """
    parts = [
        "model",
        "" if graph == "model" else graph,
        f"{shape[0]}x{shape[1]}" if shape else "",
        "" if precision == "fp32" else "quantized",
    ]
    return GraphFile("_".join(filter(None, parts)) + ".onnx", outputs, graph, precision, shape)


class TokenBatch(NamedTuple):
    """Ids and padding mask, both `(batch, length)`, int64."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]


def check_batches(
    tokenizer: PreTrainedTokenizerFast,
    longest: int,
    texts: Sequence[str] = (),
    shape: tuple[int, int] | None = None,
) -> list[TokenBatch]:
    """Return batches to compare on.

    Args:
        tokenizer: the model's
        longest: texts are cut there, in tokens
        texts: default: the probe texts, all of them strung together to `longest` tokens, and a text of one character
        shape: one batch of this shape, texts repeated and cut as needed; default: rows of several lengths, padded, and
            the shortest and the longest text alone
    """
    repeats = 1 + longest // 8
    texts = list(texts) or ["字", *PROBE_TEXTS, "".join(PROBE_TEXTS) * repeats]
    cut_at = min(longest, shape[1]) if shape else longest
    rows = [tokenizer(text, truncation=True, max_length=cut_at)["input_ids"] for text in texts]
    pad_id = cast(int, tokenizer.pad_token_id)
    if shape:
        return [_padded([rows[-1 - index % len(rows)] for index in range(shape[0])], shape[1], pad_id)]
    groups = [rows[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE)]
    groups += [[min(rows, key=len)], [max(rows, key=len)]]
    return [_padded(group, max(map(len, group)), pad_id) for group in groups]


def _padded(rows: list[list[int]], length: int, pad_id: int) -> TokenBatch:
    """Return rows of ids as one batch, padded on the right."""
    ids = np.full((len(rows), length), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)], mask[index, : len(row)] = row, 1
    return TokenBatch(ids, mask)


@torch.no_grad()
def expected_outputs(
    model: PreTrainedModel, outputs: Sequence[str], batch: TokenBatch, modules: SentenceModules
) -> dict[str, NDArray[np.float32]]:
    """Return what the model itself gives, by its own kernel and without padding, under the names of a graph's outputs.

    Args:
        model: float32, in evaluation mode
        outputs: names
        batch: ids and mask
        modules: what is behind the encoder
    """
    ids, mask = (torch.from_numpy(part) for part in batch)
    module: Any = model
    whole = module(input_ids=ids, attention_mask=mask)
    results: dict[str, torch.Tensor] = {name: getattr(whole, name) for name in outputs if name in whole}
    if {HIDDEN, EMBEDDING, TOKEN_VECTORS} & set(outputs):
        results[HIDDEN] = states = module.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        if TOKEN_VECTORS in outputs:
            results[TOKEN_VECTORS] = _token_vectors(states, modules)
        if EMBEDDING in outputs:
            # Each text by itself and without its padding: a different way to the mean from the graph's.
            rows = zip(ids, whole.logits if modules.is_sparse else states, mask.bool(), strict=True)
            results[EMBEDDING] = torch.stack([_pooled(one[real], row[real], modules) for one, row, real in rows])
    return {name: results[name].numpy() for name in outputs}


def _pooled(ids: torch.Tensor, row: torch.Tensor, modules: SentenceModules) -> torch.Tensor:
    """Return the embedding of one text, from its ids `(length,)` and its hidden states or logits `(length, values)`."""
    if splade := modules.module("SpladePooling"):
        weights = splade_weights(row, splade.settings)
        if own := modules.module("SparseStaticEmbedding"):
            weights = weights * token_weights(ids[None], torch.ones_like(ids[None]), own.tensors["weight"].float())[0]
        return weights
    vector = row.mean(dim=0) if modules.pooling == "mean" else row[0]
    return vector / vector.norm()


def _token_vectors(states: torch.Tensor, modules: SentenceModules) -> torch.Tensor:
    """Return a vector for each hidden state `(batch, length, hidden)`, by a matrix product."""
    if dense := modules.module("Dense"):
        states = states @ dense.tensors["linear.weight"].float().T
    return states / states.norm(dim=-1, keepdim=True).clamp(min=TINY) if modules.module("Normalize") else states


def longest_check(model: PreTrainedModel) -> int:
    """Return the tokens of the longest text to compare: beyond the window, within the model's positions."""
    config = cast(Any, model).config
    return min(config.max_position_embeddings, 2 * config.local_attention + TOKENS_OVER_THE_WINDOW)


def model_batches(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str] = (),
    shape: tuple[int, int] | None = None,
) -> list[TokenBatch]:
    """Return the batches to compare a model's graphs on; for multiple choice each batch is one question."""
    batches = check_batches(tokenizer, longest_check(model), texts, shape)
    if type(model).__name__ != MULTIPLE_CHOICE:
        return batches
    if shape:  # two choices of that many rows
        return [TokenBatch(*(np.stack([part, part[::-1]]) for part in batch)) for batch in batches]
    return [TokenBatch(*(part[None] for part in batch)) for batch in batches]


def checked_agreement(
    path: Path,
    file: GraphFile,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str] = (),
    modules: SentenceModules | None = None,
) -> Agreement:
    """Compare a graph with its model.

    Args:
        path: where the graph lies
        file: what it is
        model: float32, in evaluation mode
        tokenizer: the model's
        texts: see `check_batches`
        modules: what is behind the encoder; default: a mean over tokens

    Raises:
        ValueError: Where it misses the bar of its precision (`isolated_check.BARS`).
    """
    batches = model_batches(model, tokenizer, texts, file.shape)
    told = modules or SentenceModules()
    expected = [
        (batch.input_ids, batch.attention_mask, expected_outputs(model, file.outputs, batch, told)) for batch in batches
    ]
    reached = check_graph(path, expected, torch.get_num_threads())
    missed = faults(reached, file.precision)
    if missed:
        raise ValueError(f"onnx/{file.name} does not give the model's numbers ({missed}); nothing was written")
    return reached


def write_job(
    folder: Path,
    files: Sequence[GraphFile],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    modules: SentenceModules,
) -> dict[str, Any]:
    """Write inputs and expected numbers for `isolated_check.py` and return its job, without release and results.

    Args:
        folder: where the arrays go
        files: graphs to check; those that differ in precision alone share their numbers
        model: float32, in evaluation mode
        tokenizer: the model's
        modules: what is behind the encoder
    """
    arrays: dict[str, NDArray[Any]] = {}
    rows = []
    for file in files:
        reference = f"{file.graph}/{file.shape or 'any'}"
        batches = model_batches(model, tokenizer, shape=file.shape)
        if f"{reference}/0/input_ids" not in arrays:
            arrays.update(_reference_arrays(reference, batches, model, file.outputs, modules))
        row = {"file": f"onnx/{file.name}", "precision": file.precision, "reference": reference}
        rows.append({**row, "batches": len(batches), "outputs": list(file.outputs)})
    np.savez(folder / "onnx_reference.npz", **arrays)  # pyright: ignore[reportArgumentType]
    return {"graphs": rows, "arrays": str(folder / "onnx_reference.npz"), "threads": torch.get_num_threads()}


def _reference_arrays(  #
    reference: str,
    batches: Sequence[TokenBatch],
    model: PreTrainedModel,
    outputs: Sequence[str],
    modules: SentenceModules,
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield name and array of every input and expected output."""
    for which, batch in enumerate(batches):
        yield f"{reference}/{which}/input_ids", batch.input_ids
        yield f"{reference}/{which}/attention_mask", batch.attention_mask
        for name, numbers in expected_outputs(model, outputs, batch, modules).items():
            yield f"{reference}/{which}/{name}", numbers

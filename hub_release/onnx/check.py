"""The numbers that ONNX graphs must give, computed by the local classes: batches of several lengths, with padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from ...modeling import ChineseModernBertForMaskedLM
from ..verification.reference_outputs import PROBE_TEXTS
from .isolated_check import Agreement, check_graph, faults

BATCH_SIZE = 8
# Beyond the window on both sides, so that a graph without its mask gives other numbers.
TOKENS_OVER_THE_WINDOW = 20


class GraphFile(NamedTuple):
    """One file of the folder `onnx`.

    Attributes:
        graph: `encoder`, `mlm` or `embedding`
        precision: `fp32` or `int8`
        shape: `(batch, length)` of a graph for one shape only; `None` = any
    """

    graph: str
    precision: str
    shape: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """File name: `model`, what it gives unless hidden states, its shape if fixed, its precision unless fp32."""
        parts = [
            "model",
            "" if self.graph == "encoder" else self.graph,
            f"{self.shape[0]}x{self.shape[1]}" if self.shape else "",
            "" if self.precision == "fp32" else f"q{self.precision}",
        ]
        return "_".join(filter(None, parts)) + ".onnx"


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


def expected_output(model: ChineseModernBertForMaskedLM, graph: str, batch: TokenBatch) -> NDArray[np.float32]:
    """Return what the model itself gives, by its own kernel and without padding, in the form of a graph's output."""
    ids, mask = (torch.from_numpy(part) for part in batch)
    with torch.no_grad():
        if graph == "mlm":
            return model(input_ids=ids, attention_mask=mask).logits.numpy()
        states = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        if graph == "encoder":
            return states.numpy()
        # Each text by itself and without its padding: a different way to the mean from the graph's.
        means = [row[is_token].mean(dim=0) for row, is_token in zip(states, mask.bool(), strict=True)]
        return torch.stack([mean / mean.norm() for mean in means]).numpy()


def longest_check(model: ChineseModernBertForMaskedLM) -> int:
    """Return the tokens of the longest text to compare: beyond the window, within the model's positions."""
    config = model.config
    return min(config.max_position_embeddings, 2 * config.local_attention + TOKENS_OVER_THE_WINDOW)


def checked_agreement(
    path: Path,
    file: GraphFile,
    model: ChineseModernBertForMaskedLM,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str] = (),
) -> Agreement:
    """Compare a graph with its model.

    Args:
        path: where the graph lies
        file: what it is
        model: float32, in evaluation mode
        tokenizer: the model's
        texts: see `check_batches`

    Raises:
        ValueError: Where it misses the bar of its precision (`isolated_check.BARS`).
    """
    batches = check_batches(tokenizer, longest_check(model), texts, file.shape)
    expected = [(*batch, expected_output(model, file.graph, batch)) for batch in batches]
    reached = check_graph(path, expected, torch.get_num_threads())
    missed = faults(reached, file.precision)
    if missed:
        raise ValueError(f"onnx/{file.name} does not give the model's numbers ({missed}); nothing was written")
    return reached


def write_job(
    folder: Path,
    files: Sequence[GraphFile],
    model: ChineseModernBertForMaskedLM,
    tokenizer: PreTrainedTokenizerFast,
) -> dict[str, Any]:
    """Write inputs and expected numbers for `isolated_check.py` and return its job, without release and results.

    Args:
        folder: where the arrays go
        files: graphs to check; those that differ in precision alone share their numbers
        model: float32, in evaluation mode
        tokenizer: the model's
    """
    arrays: dict[str, NDArray[Any]] = {}
    rows = []
    for file in files:
        reference = f"{file.graph}/{file.shape or 'any'}"
        batches = check_batches(tokenizer, longest_check(model), shape=file.shape)
        if f"{reference}/0/expected" not in arrays:
            arrays.update(_reference_arrays(reference, batches, model, file.graph))
        row = {"file": f"onnx/{file.name}", "precision": file.precision, "reference": reference}
        rows.append({**row, "batches": len(batches)})
    np.savez(folder / "onnx_reference.npz", **arrays)  # pyright: ignore[reportArgumentType]
    return {"graphs": rows, "arrays": str(folder / "onnx_reference.npz"), "threads": torch.get_num_threads()}


def _reference_arrays(
    reference: str, batches: Sequence[TokenBatch], model: ChineseModernBertForMaskedLM, graph: str
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield name and array of every input and expected output."""
    for which, batch in enumerate(batches):
        yield f"{reference}/{which}/input_ids", batch.input_ids
        yield f"{reference}/{which}/attention_mask", batch.attention_mask
        yield f"{reference}/{which}/expected", expected_output(model, graph, batch)

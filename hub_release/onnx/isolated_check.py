"""Check the ONNX graphs of a release with numpy and onnxruntime, as a script of its own without torch.

`verify.py` runs this file in a fresh process: `python -P -s isolated_check.py job.json`. The job names the release, its
graphs, an .npz file with inputs and the numbers to expect, and the file for the results. The script imports nothing of
its siblings, and refuses to import what a server with plain onnxruntime does not have.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCKED = ("torch", "transformers", "chinese_modernbert")


class Bar(NamedTuple):
    """What a graph must reach against torch.

    Attributes:
        cosine: smallest cosine of a text's numbers, all of its tokens as one vector
        difference: largest difference, as a share of the largest number; a wrong mask may hide from the cosine

    Source: our default.
    """

    cosine: float
    difference: float


class Agreement(NamedTuple):
    """What a graph reached; fields as in `Bar`."""

    cosine: float
    difference: float


BARS = {"fp32": Bar(0.9999, 1e-3), "int8": Bar(0.99, float("inf"))}
# Outputs with one number a token, where others have a vector.
NUMBERS_OF_TOKENS = ("start_logits", "end_logits")


class BlockedPackages(importlib.abc.MetaPathFinder):
    """Refuse the import of some packages, wherever they are installed."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Raise for a blocked package and its modules; leave every other name to the next finder."""
        if fullname.split(".")[0] in BLOCKED:
            raise ImportError(f"{fullname} is blocked: a server with plain onnxruntime does not have it")


def open_graph(path: str | Path, threads: int = 0) -> Any:
    """Return an `onnxruntime.InferenceSession` on the CPU; 0 threads = as many as it likes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_graph(
    session: Any, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]
) -> dict[str, NDArray[np.float32]]:
    """Return the outputs of a graph for a batch `(batch, length)` by name; `(batch, choices, length)` for choices."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"input_ids": input_ids, "attention_mask": attention_mask}), strict=True))


def agreement(
    given: NDArray[np.float32],
    expected: NDArray[np.float32],
    attention_mask: NDArray[np.int64],
    is_of_tokens: bool | None = None,
) -> Agreement:
    """Compare a graph's numbers with torch's, text by text, padding left out.

    Args:
        given, expected: `(batch, length, values)`, or `(batch, values)` for one vector a text
        attention_mask: `(batch, length)`, 1 = token
        is_of_tokens: the second dimension is that of the tokens; default: where there are three

    Returns:
        The worst of the texts; cosine 0 and an infinite difference for another shape or numbers that are not finite.
    """
    if given.shape != expected.shape or not np.isfinite(given).all():
        return Agreement(0.0, float("inf"))
    if attention_mask.ndim == 3:  # choices: one vector a question
        attention_mask = attention_mask[:, 0]
    of_tokens = given.ndim == 3 if is_of_tokens is None else is_of_tokens
    cosines, differences = [], []
    for row, is_token in enumerate(attention_mask != 0):
        one, other = (
            (states[row][is_token] if of_tokens else states[row]).astype(np.float64).ravel()
            for states in (given, expected)
        )
        lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
        cosines.append(float(one @ other) / lengths if lengths else float(np.array_equal(one, other)))
        differences.append(float(np.abs(one - other).max(initial=0.0)) / (float(np.abs(other).max(initial=0.0)) or 1.0))
    return Agreement(min(cosines), max(differences))


def faults(reached: Agreement, precision: str) -> str:
    """Return what misses the bar of a precision, in one line; empty where nothing does."""
    bar = BARS[precision]
    texts = []
    if not reached.cosine >= bar.cosine:
        texts.append(f"cosine {reached.cosine:.5f} against torch, {bar.cosine} is needed")
    if not reached.difference <= bar.difference:
        texts.append(f"off by {reached.difference:.1e} of the largest number, {bar.difference:.0e} is allowed")
    return "; ".join(texts)


def check_graph(
    path: Path,
    batches: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], dict[str, NDArray[np.float32]]]],
    threads: int,
) -> Agreement:
    """Run a graph on batches of `(input_ids, attention_mask, expected outputs)` and return the worst agreement.

    Raises:
        ValueError: For a graph with other outputs.
    """
    session = open_graph(path, threads)
    reached = []
    for ids, mask, expected in batches:
        given = run_graph(session, ids, mask)
        if list(given) != list(expected):
            raise ValueError(f"the graph gives {', '.join(given)}, expected are {', '.join(expected)}")
        for name, numbers in given.items():
            is_of_tokens = True if name in NUMBERS_OF_TOKENS else None
            reached.append(agreement(numbers, expected[name], mask, is_of_tokens))
    return Agreement(min(one.cosine for one in reached), max(one.difference for one in reached))


def outcome(job: dict[str, Any], row: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, str]:
    """Check one graph of the job; whatever goes wrong is its result, so that the graphs after it are still checked."""
    result = {"name": f"ONNX without torch: {row['file']}", "outcome": "fail"}
    if importlib.util.find_spec("onnxruntime") is None:
        return {**result, "outcome": "skip", "detail": "onnxruntime is not installed"}
    batches = []
    for which in range(row["batches"]):
        name = f"{row['reference']}/{which}"
        expected = {output: arrays[f"{name}/{output}"] for output in row["outputs"]}
        batches.append((arrays[f"{name}/input_ids"], arrays[f"{name}/attention_mask"], expected))
    try:
        reached = check_graph(Path(job["release"]) / row["file"], batches, job["threads"])
    except Exception as error:  # onnxruntime raises classes of its own for a broken file
        return {**result, "detail": f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"}
    missed = faults(reached, row["precision"])
    detail = missed or f"cosine {reached.cosine:.5f}, off by {reached.difference:.1e} of the largest number"
    return {**result, "outcome": "fail" if missed else "pass", "detail": detail}


def main(job_path: str) -> None:
    """Run the job and write its results as JSON."""
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    sys.meta_path.insert(0, BlockedPackages())
    with np.load(job["arrays"]) as stored:
        arrays = dict(stored)
    results = [outcome(job, row, arrays) for row in job["graphs"]]
    Path(job["results"]).write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

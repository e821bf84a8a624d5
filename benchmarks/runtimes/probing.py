"""What every Python probe shares: its job, the comparison with torch's numbers, and the rows that it hands back.

A probe runs in the environment of its runtime and knows nothing of this package: `python probe.py job.json`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Arrays = dict[str, NDArray[Any]]
INPUTS = ("input_ids", "attention_mask")
# Fewer numbers for each text than this, and the cosine says little: all texts are then compared as one vector.
FEWEST_NUMBERS = 16


class Batch(NamedTuple):
    """Inputs of one call, and what torch gives for them."""

    inputs: Arrays
    expected: Arrays


class Probe:
    """The job of one process, and its rows.

    Args:
        runtime: name in the table
        version: of the runtime
    """

    def __init__(self, runtime: str, version: str) -> None:
        sys.modules["chinese_modernbert"] = None  # pyright: ignore  # where it is installed, importing it fails too
        self.job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        self.arrays: Arrays = load_file(self.job["arrays"])
        self.runtime, self.version = runtime, version
        self.rows: list[dict[str, Any]] = []

    @property
    def tasks(self) -> list[str]:
        """Tasks whose inputs are token ids."""
        return list(self.job["tasks"])

    def folder(self, task: str) -> str:
        """Return the release that a task runs on."""
        return self.job["folders"][task]

    def batches(self, task: str) -> list[Batch]:
        """Return inputs and expected numbers of a task."""
        result = []
        for which in range(self.job["tasks"][task]["batches"]):
            prefix = f"{task}/{which}/"
            found = {name.removeprefix(prefix): one for name, one in self.arrays.items() if name.startswith(prefix)}
            inputs = {name: found.pop(name) for name in INPUTS}
            result.append(Batch(inputs, found))
        return result

    def measure(self, task: str, make: Callable[[], Callable[[Arrays], Arrays]], what: str = "", **kwargs: Any) -> None:
        """Compare a task's outputs with torch's.

        Args:
            task: name of the job's task
            make: loads the model and returns the function from inputs to outputs by name
            what: the row's task, where it is not simply the task's name
            kwargs: further fields of the row
        """

        def pairs() -> list[tuple[NDArray[Any], NDArray[Any]]]:
            run, found = make(), []
            for batch in self.batches(task):
                given = run(batch.inputs)
                if not given:
                    raise ValueError(f"no output of {task} was given")
                for name, one in given.items():
                    found += self._vectors(task, name, one, batch)
            small = all(expected.size < FEWEST_NUMBERS for _, expected in found)
            return [tuple(map(np.concatenate, zip(*found, strict=True)))] if small else found  # type: ignore[list-item]

        self.compare(what or task, pairs, **kwargs)

    def _vectors(
        self, task: str, name: str, given: NDArray[Any], batch: Batch
    ) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        """Return the numbers of each text of a batch, without those at padding."""
        expected = batch.expected[name]
        if task == "masked_lm" and name == "logits":
            given = given[..., :: self.job["stride"]]
        if given.shape != expected.shape:
            raise ValueError(f"{name} has shape {given.shape}, torch's {expected.shape}")
        rows = zip(given, expected, batch.inputs["attention_mask"], strict=True)
        if self.job["tasks"][task]["per_token"]:
            return [(one[mask != 0].ravel(), other[mask != 0].ravel()) for one, other, mask in rows]
        return [(one.ravel(), other.ravel()) for one, other, _ in rows]

    def compare(self, what: str, pairs: Callable[[], list[tuple[NDArray[Any], NDArray[Any]]]], **kwargs: Any) -> None:
        """Add the row of a comparison; what goes wrong is its result, so that the rows after it still come.

        Args:
            what: the row's task
            pairs: computes the vectors, each with torch's
            kwargs: further fields of the row
        """
        start = time.perf_counter()
        try:
            agreements = [agreement(given, expected) for given, expected in pairs()]
            cosine, difference = min(one for one, _ in agreements), max(one for _, one in agreements)
            row: dict[str, Any] = {"cosine": cosine, "difference": difference}
        except Exception as error:  # every runtime has classes of its own
            row = {"error": _one_line(error)}
        self._add(what, time.perf_counter() - start, **row, **kwargs)

    def count_other_tokens(self, encode: Callable[[str], list[int]]) -> None:
        """Add the row of the tokenizer: how many texts have other tokens."""
        start = time.perf_counter()
        try:
            expected = zip(self.job["token_texts"], self.job["token_ids"], strict=True)
            others = sum(list(encode(text)) != ids for text, ids in expected)
            row: dict[str, Any] = {"difference": float(others)}
        except Exception as error:
            row = {"error": _one_line(error)}
        self._add("tokens", time.perf_counter() - start, precision="tokens", **row)

    def _add(self, task: str, seconds: float, **fields: Any) -> None:
        row = {"runtime": self.runtime, "version": self.version, "task": task, "seconds": seconds}
        self.rows.append({**row, **fields})

    def write(self) -> None:
        """Hand the rows back."""
        Path(self.job["results"]).write_text(json.dumps(self.rows), encoding="utf-8")


def agreement(given: NDArray[Any], expected: NDArray[Any]) -> tuple[float, float]:
    """Return cosine and largest difference, as a share of the largest number, of two vectors.

    Raises:
        ValueError: For another shape or numbers that are not finite.
    """
    one, other = np.asarray(given, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if one.shape != other.shape or not np.isfinite(one).all():
        raise ValueError(
            f"shape {one.shape}, {int((~np.isfinite(one)).sum())} numbers not finite; torch's {other.shape}"
        )
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else 0.0, float(np.abs(one - other).max() / np.abs(other).max())


def _one_line(error: Exception) -> str:
    """Return class and first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]

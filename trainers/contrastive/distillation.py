"""Scores of a reranker as what a stage learns from: computed once, kept beside the stage, and named by their pairs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from datasets import Dataset
from sentence_transformers import CrossEncoder
from torch import nn

from ...evaluation.retrieval.loading import model_digest
from ...runtime.processes import on_main_process

logger = logging.getLogger(__name__)

SCORES_COLUMN = "scores"
PAIRS_AT_ONCE = 64


def with_teacher_scores(datasets: Mapping[str, Dataset], teacher: CrossEncoder, file: Path) -> dict[str, Dataset]:
    """Return data sets of triplets with a column `scores`: the teacher's for the positive and every negative.

    Args:
        datasets: columns `anchor`, `positive`, `negative_1` ...
        teacher: scores pairs
        file: where the scores are kept, `.npz`; those of other rows or another teacher are computed anew

    Raises:
        ValueError: If a score is not finite.
    """
    keys = {name: _key(dataset, teacher) for name, dataset in datasets.items()}
    on_main_process(lambda: _keep_scores({keys[name]: dataset for name, dataset in datasets.items()}, teacher, file))
    with np.load(file) as kept:
        scores = {name: kept[key].tolist() for name, key in keys.items()}
    columns = {name: {column: dataset[column] for column in dataset.column_names} for name, dataset in datasets.items()}
    return {name: Dataset.from_dict({**found, SCORES_COLUMN: scores[name]}) for name, found in columns.items()}


def _keep_scores(by_key: Mapping[str, Dataset], teacher: CrossEncoder, file: Path) -> None:
    """Write the scores of every data set under its key, unless the file holds them."""
    if file.is_file():
        with np.load(file) as kept:
            if set(by_key) <= set(kept.files):
                logger.info("the teacher's scores are taken from %s", file)
                return
    found = {key: teacher_scores(dataset, teacher) for key, dataset in by_key.items()}
    if not all(np.isfinite(scores).all() for scores in found.values()):
        raise ValueError("the teacher's scores are not finite; train it again with a lower learning rate")
    partial = file.with_suffix(".part")
    with partial.open("wb") as out:
        np.savez(out, **found)  # pyright: ignore[reportArgumentType]
    partial.replace(file)  # a run that is cut off leaves no half a file under the name that is read


def _key(dataset: Dataset, teacher: CrossEncoder) -> str:
    """Return hexadecimal digits that name the rows and the teacher, see `model_digest`."""
    content = repr((dataset.to_dict(), model_digest(teacher)))
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def teacher_scores(dataset: Dataset, teacher: CrossEncoder) -> np.ndarray:
    """Return the teacher's logits float32 `[N, 1 + negatives]` of each anchor with its positive and its negatives.

    Not its probabilities: a sigmoid would press what is clear to the teacher into one value, and with it the margins
    that are learned.
    """
    _, *texts = dataset.column_names
    columns = []
    for name in texts:
        pairs = list(zip(dataset["anchor"], dataset[name], strict=True))
        options = {"batch_size": PAIRS_AT_ONCE, "activation_fn": nn.Identity(), "show_progress_bar": False}
        columns.append(np.asarray(teacher.predict(pairs, **options), dtype=np.float32))  # pyright: ignore[reportCallIssue, reportArgumentType]
    return np.stack(columns, axis=1)

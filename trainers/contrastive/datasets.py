"""From sentence sets to the data sets of a stage: triplets or scored pairs, without texts of the evaluation."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from datasets import Dataset

from ...evaluation.sentences.files import Kind, ReadRows, ScoredPair, Triplet, find_set, read_rows
from ...evaluation.sentences.rows import scored_columns
from ..leakage import LeakageReport
from .options import ContrastiveStage

logger = logging.getLogger(__name__)

Row = TypeVar("Row", ScoredPair, Triplet)

LEAKING = "holds a text of the evaluation"


@dataclass(frozen=True)
class NamedRows:
    """Rows of one set and split under its name, `stsb:train`."""

    name: str
    rows: ReadRows
    kind: Kind = "triplets"


def read_named(names: Sequence[str], folder: str | Path, split: str) -> list[NamedRows]:
    """Read sets by name (`stsb`, `stsb:dev`, a file); `split` is taken where a name has none.

    A second file of the same bare name, `b/train.jsonl` after `a/train.jsonl`, goes by its path.

    Raises:
        FileNotFoundError, ValueError: See `find_set` and `read_rows`; a set that is named twice.
    """
    found: dict[str, NamedRows] = {}
    for name in names:
        bare, colon, own = name.partition(":")
        is_file = Path(name).is_file()
        one = find_set(name if is_file else bare)
        part = own if colon and not is_file else split
        key = f"{one.name}:{part}"
        if is_file and key in found and name not in names[: len(found)]:
            key = f"{name}:{part}"
        if key in found:
            raise ValueError(f"'{name}' is named twice; a set is read once")
        found[key] = NamedRows(key, read_rows(one, part, "" if is_file else folder), one.kind)
    return list(found.values())


def texts_of(named: Iterable[NamedRows]) -> dict[str, list[str]]:
    """Return every text of each set, once; files of one name that different stages train on count as one set."""
    found: dict[str, dict[str, None]] = {}
    for one in named:
        texts = found.setdefault(one.name, {})
        for pair in one.rows.pairs:
            texts.update(dict.fromkeys((pair.first, pair.second)))
        for triplet in one.rows.triplets:
            texts.update(dict.fromkeys((triplet.anchor, triplet.positive, *triplet.negatives)))
    return {name: list(texts) for name, texts in found.items()}


def rows_fingerprint(named: Iterable[NamedRows], *evaluation: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that name rows: others under the same name are other data.

    Args:
        named: sets to train on
        evaluation: pairs or tasks by set
    """
    digest = hashlib.sha256()
    rows = (row for one in named for row in (one.name, *one.rows.pairs, *one.rows.triplets))
    for row in chain(evaluation, rows):
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def without_leaks(named: Sequence[NamedRows], leaks: LeakageReport) -> list[NamedRows]:
    """Return the sets without rows that hold a leaking text; a leaking negative alone leaves its row."""
    kept = []
    for one in named:
        pairs = [pair for pair in one.rows.pairs if not {pair.first, pair.second} & leaks.texts]
        triplets = [
            Triplet(
                triplet.anchor, triplet.positive, tuple(text for text in triplet.negatives if text not in leaks.texts)
            )
            for triplet in one.rows.triplets
            if not {triplet.anchor, triplet.positive} & leaks.texts
        ]
        dropped = len(one.rows.triplets) + len(one.rows.pairs) - len(pairs) - len(triplets)
        logger.info("%s: %d rows dropped that hold texts of the evaluation", one.name, dropped)
        reasons = {**one.rows.dropped, **({LEAKING: dropped} if dropped else {})}
        kept.append(NamedRows(one.name, ReadRows(pairs, triplets, reasons), one.kind))
    return kept


def check_rows(one: NamedRows, stage: ContrastiveStage) -> None:
    """Refuse a set of which the loss of a stage can use no row.

    Raises:
        ValueError: With what was left out of the set.
    """
    is_scored = stage.loss == "cosent"
    if one.rows.pairs and (is_scored or stage.loss == "binary_cross_entropy"):
        return
    if is_scored or not one.rows.triplets:
        what, other = ("scored", "in_batch_negatives") if is_scored else ("positive", "cosent")
        reasons = "; ".join(f"{count:,} rows left out: {reason}" for reason, count in one.rows.dropped.items())
        told = f" ({reasons})" if reasons else ""
        raise ValueError(f"{one.name} has no {what} pair for {stage.loss}{told}; use {other}")


def stage_datasets(
    named: Sequence[NamedRows],
    stage: ContrastiveStage,
    seed: int,
    mined: Callable[[Sequence[Triplet]], Sequence[Triplet]],
    fewest: int = 2,
) -> dict[str, Dataset]:
    """Return the data sets of a stage by name; rows of one data set have the same columns.

    Triplets become columns `anchor`, `positive`, `negative_1` ...; rows with fewer negatives than the stage takes make
    a data set of their own without any, so that no negative counts twice. Where too few rows have the negatives, all
    rows go without; where too few have not, those are left out and the log says so. A stage of `distillation` leaves
    all of them out, since it learns from differences.

    Args:
        named: what the stage trains on
        stage: the stage
        seed: decides which rows are taken under `max_rows`, and the order
        mined: puts mined negatives before the given ones, where the stage asks for them, see `mine`
        fewest: rows that a data set needs for a batch

    Raises:
        ValueError: If a set has no rows that the stage's loss can use.
    """
    datasets: dict[str, Dataset] = {}
    for one in named:
        check_rows(one, stage)
        if stage.loss == "cosent":
            datasets[one.name] = _scored(one, stage, seed)
            continue
        triplets: Sequence[Triplet] = _sample(one.rows.triplets, stage.max_rows, seed)
        if stage.mined_negatives and triplets:
            triplets = mined(triplets)
        count = max(stage.hard_negatives, stage.mined_negatives)
        if stage.loss == "binary_cross_entropy":
            datasets[one.name] = _labelled(one, triplets, _sample(one.rows.pairs, stage.max_rows, seed), count)
            continue
        rich, poor = _parted(one.name, triplets, count, fewest)
        if stage.loss == "distillation":
            if not rich:
                raise ValueError(
                    f"{one.name} has no rows with {count} negatives to distill; mined_negatives finds some"
                )
            poor = []
        if rich:
            datasets[f"{one.name} with negatives"] = Dataset.from_dict(_columns(rich, count))
        if poor:
            datasets[one.name] = Dataset.from_dict(_columns(poor, 0))
    return datasets


def _parted(
    name: str, triplets: Sequence[Triplet], count: int, fewest: int
) -> tuple[Sequence[Triplet], Sequence[Triplet]]:
    """Return the rows that are read with `count` negatives and those that are read without, each enough for a batch."""
    rich = [triplet for triplet in triplets if count and len(triplet.negatives) >= count]
    poor = [triplet for triplet in triplets if not count or len(triplet.negatives) < count]
    if len(rich) < fewest:
        if count and any(triplet.negatives for triplet in triplets):
            logger.warning("%s: %d rows with %d negatives make no batch; all go without", name, len(rich), count)
        return [], triplets
    if 0 < len(poor) < fewest:
        what = "%s: %d rows with fewer than %d negatives make no batch; they are left out"
        logger.warning(what, name, len(poor), count)
        return rich, []
    return rich, poor


def _scored(one: NamedRows, stage: ContrastiveStage, seed: int) -> Dataset:
    pairs = _sample(one.rows.pairs, stage.max_rows, seed)
    return Dataset.from_dict(scored_columns(pairs))


def _labelled(one: NamedRows, triplets: Sequence[Triplet], pairs: Sequence[ScoredPair], count: int) -> Dataset:
    """Return pairs as `query`, `passage` and `label` from 0 to 1: scores of a scored set, positives 1, negatives 0.

    Raises:
        ValueError: If nothing has a label below 1, from which all texts would be learned to fit.
    """
    labels = {(pair.first, pair.second): pair.score for pair in pairs}
    for triplet in triplets:
        labels.setdefault((triplet.anchor, triplet.positive), 1.0)
    for triplet in triplets:
        for text in triplet.negatives[:count]:
            labels.setdefault((triplet.anchor, text), 0.0)
    if not any(label < 1 for label in labels.values()):
        raise ValueError(f"{one.name} has no negatives, so all pairs would fit; mined_negatives: 3 finds some")
    queries, passages = zip(*labels, strict=True)
    return Dataset.from_dict({"query": queries, "passage": passages, "label": list(labels.values())})


def _columns(triplets: Sequence[Triplet], negatives: int) -> dict[str, list[str]]:
    columns = {"anchor": [one.anchor for one in triplets], "positive": [one.positive for one in triplets]}
    return columns | {f"negative_{n + 1}": [one.negatives[n] for one in triplets] for n in range(negatives)}


def _sample(rows: Sequence[Row], most: int | None, seed: int) -> list[Row]:
    """Return the rows in an order that the seed gives, at most `most` of them."""
    order = np.random.default_rng(seed).permutation(len(rows))
    return [rows[i] for i in order[:most]]

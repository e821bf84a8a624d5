"""Which documents an epoch reads, how often, and in which order: pure functions of weights, seed and epoch.

Legend: a *sample* is one visit to a document, written as the number `document + copy * documents`. So the samples of an
epoch are distinct although a document may occur several times, and two copies of a text get different masks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.counter_random import CounterRandom


@dataclass(frozen=True)
class EpochRest:
    """Where a stage has stopped within an epoch.

    Attributes:
        epoch: number of the epoch
        left: int64, the samples of the stage in this epoch that it has not reached
        used: int64, the samples of this epoch that have been read, in this stage or an earlier one
        weights: float64 `[documents]`, samples per epoch in that stage
    """

    epoch: int
    left: np.ndarray
    used: np.ndarray
    weights: np.ndarray


def epoch_order(n_documents: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of the documents in an epoch, int64 `[n_documents]`, a pure function of (seed, epoch)."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(n_documents)


def weights_by_source(weights: Mapping[str, float], names: Sequence[str], source_of: np.ndarray) -> np.ndarray:
    """Return how often each document is read in an epoch, from the weights of the sources.

    Args:
        weights: samples per epoch of some sources; 1 for those not named, 0 leaves a source out
        names: names of the corpus's sources
        source_of: int64 `[documents]`, number of each document's source

    Returns:
        float64 `[documents]`.

    Raises:
        ValueError: If a source is unknown, a weight is not a finite number of 0 or more, or nothing is left to read.
    """
    unknown = [str(name) for name in weights if name not in names]
    if unknown:
        raise ValueError(f"source_weights names no source of the corpus: {', '.join(unknown)}; it has {_shown(names)}")
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < float("inf"):
            raise ValueError(f"source_weights gives '{name}' the weight {weight!r}; give a number of 0 or more")
    by_document = np.array([weights.get(name, 1.0) for name in names], dtype=np.float64)[source_of]
    if not by_document.any():
        raise ValueError("source_weights gives every source with documents the weight 0; leave one above it")
    return by_document


def favor_long(weights: np.ndarray, positions: np.ndarray, is_long: np.ndarray, share: float) -> np.ndarray:
    """Scale the weights of long documents so that they take a given share of the positions.

    Args:
        weights: float64 `[documents]`, samples per epoch
        positions: int64 `[documents]`, positions that a sample takes, special tokens included
        is_long: bool `[documents]`
        share: share of the positions that long documents get, 0 to 1; 1 reads only long documents, 0 only short ones

    Returns:
        float64 `[documents]`; short documents keep their weights while the share is below 1.

    Raises:
        ValueError: If the share is out of range, or there is no document of a kind that it needs.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"long_share={share} is not a share; give a number from 0 to 1")
    read = weights * positions
    long, short = float(read[is_long].sum()), float(read[~is_long].sum())
    if (share > 0 and not long) or (share < 1 and not short):
        kind = "no document that is read is" if share > 0 and not long else "every document that is read is"
        raise ValueError(
            f"long_share={share:g}, but {kind} over long_tokens; change long_tokens or leave the share out"
        )
    if share in (0, 1):
        return np.where(is_long == bool(share), weights, 0.0)
    return np.where(is_long, weights * (share / (1 - share) * short / long), weights)


def copies_in_epoch(weights: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Return how often each document is read in an epoch.

    A weight's whole part is read in every epoch; its fraction decides by a hash in which epochs there is one
    sample more, evenly spaced: a document of weight 0.5 is read in every second epoch, never left out twice in a row.

    Args:
        weights: float64 `[documents]`, samples per epoch in expectation
        seed: seed of the order
        epoch: number of the epoch

    Returns:
        int64 `[documents]`, each the weight rounded down or up; over epochs 0 to e - 1 within 1 of e times the weight.
    """
    whole = np.floor(weights)
    fraction = weights - whole
    # "reading" is part of the hash: another name would change the samples of every run.
    phase = CounterRandom(seed, 0, np.zeros(1, np.int64))("reading", np.zeros(1, np.int64), np.arange(len(weights)))
    extra = np.floor((epoch + 1) * fraction + phase) - np.floor(epoch * fraction + phase)
    return (whole + extra).astype(np.int64)


def epoch_samples(weights: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Return the samples of an epoch in order, int64; with all weights 1 this is `epoch_order`.

    Args:
        weights: float64 `[documents]`, samples per epoch in expectation
        seed: seed of the order
        epoch: number of the epoch
    """
    copies = copies_in_epoch(weights, seed, epoch)
    document = np.repeat(np.arange(len(weights)), copies)
    copy = np.arange(len(document)) - np.repeat(np.cumsum(copies) - copies, copies)
    return (document + copy * len(weights))[epoch_order(len(document), seed, epoch)]


def rest_of_epoch(weights: np.ndarray, seed: int, before: EpochRest) -> np.ndarray:
    """Return what a stage still reads of the epoch in which the stage before it has stopped.

    Documents are grouped by their old and their new weight. Of each group the stage reads the share of its samples that
    the stage before has left of its own, the least read documents first, and no sample twice. So the mixture is the new
    stage's from its first row on, and documents that have not been reached come first. Under the same weights this is
    exactly what the stage before has left.

    Args:
        weights: float64 `[documents]`, samples per epoch in the new stage
        seed: seed of the order
        before: where the stage before has stopped

    Returns:
        int64, samples in the order of the epoch.
    """
    n_documents = len(weights)
    (old, old_number), (new, new_number) = (np.unique(w, return_inverse=True) for w in (before.weights, weights))
    group, n_groups = old_number * len(new) + new_number, len(old) * len(new)
    samples = epoch_samples(weights, seed, before.epoch)
    copies = copies_in_epoch(before.weights, seed, before.epoch)
    left = np.bincount(group[before.left % n_documents], minlength=n_groups)
    whole = np.bincount(group, weights=copies, minlength=n_groups)
    overall = len(before.left) / max(1, int(copies.sum()))
    share = np.where(whole > 0, left / np.maximum(whole, 1), overall)
    n_samples = np.rint(share * np.bincount(group[samples % n_documents], minlength=n_groups))
    unused = samples[~np.isin(samples, before.used)]
    times_read = np.bincount(before.used % n_documents, minlength=n_documents)
    level = np.maximum(times_read[unused % n_documents], unused // n_documents)
    own = group[unused % n_documents]
    least_read = np.lexsort((level, own))
    first = np.searchsorted(own[least_read], np.arange(n_groups))
    rank = np.arange(len(unused)) - first[own[least_read]]
    return unused[np.sort(least_read[rank < n_samples[own[least_read]]])]


def _shown(names: Sequence[str], limit: int = 20) -> str:
    """Return names for a message, the first ones of a long list."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")

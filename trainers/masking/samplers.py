"""Which units are masked, given weights and a budget in tokens. Three rules, one signature.

All sums stay inside a budget group (integers, or `bincount`, which adds in reading order), so the choice in a row is
bit-equal whatever else is in the batch.
"""

from collections.abc import Callable

import numpy as np

from ...runtime.counter_random import CounterRandom
from ...runtime.token_rows import begins_run
from .batch import UnitTable

Sampler = Callable[[UnitTable, np.ndarray, np.ndarray, CounterRandom], np.ndarray]

GROUP_SHIFT = np.uint64(40)
KEY_SHIFT = np.uint64(23)
# Newton steps of the water-filling; weights in practice need 2 to 6. Our default.
MAX_FILLING_STEPS = 64


def sample_budget(units: UnitTable, weights: np.ndarray, budget: np.ndarray, random: CounterRandom) -> np.ndarray:
    """Take units in weighted random order until each group's budget is spent; exact in expectation.

    The order is an exponential race: the smallest `-log(u) / w` first, which is weighted sampling without
    replacement. The first unit that does not fit is taken with probability room / length, so the expected number of
    masked tokens equals the budget for any unit lengths. Skipping it, as BERT's rule does, masks long words less
    often than short ones and falls below the rate on short texts.
    Source: exponential race, Efraimidis and Spirakis 2006; the boundary rule is ours.

    Args:
        units: U units
        weights: float64 `[U]` >= 0; units of weight 0 are never taken
        budget: float64 `[G]`, tokens to mask in each group
        random: the random numbers

    Returns:
        bool `[U]`.
    """
    chosen = np.zeros(units.start.size, dtype=bool)
    eligible = weights > 0
    whole = bool(eligible.all())
    index = np.arange(chosen.size) if whole else np.flatnonzero(eligible)
    if not index.size:
        return chosen
    candidates = units if whole else units.take(index)
    key = -np.log(random("order", candidates.row, candidates.position))
    key /= weights if whole else weights[index]
    order = _grouped_order(candidates.group, key)
    length, group = candidates.length[order], candidates.group[order]
    room = budget[group] - _tokens_before(length, group)
    taken = room >= length
    boundary = np.flatnonzero((room > 0) & ~taken)
    at = order[boundary]
    uniform = random("boundary", candidates.row[at], candidates.position[at])
    taken[boundary] = uniform * length[boundary] < room[boundary]
    chosen[index[order[taken]]] = True
    return chosen


def sample_bernoulli(units: UnitTable, weights: np.ndarray, budget: np.ndarray, random: CounterRandom) -> np.ndarray:
    """Take every unit independently with probability min(1, c * w); c meets each group's budget in expectation.

    Args and result as in `sample_budget`.
    """
    probability = inclusion_probabilities(units, weights, budget)
    return random("order", units.row, units.position) < probability


def sample_absolute(units: UnitTable, weights: np.ndarray, budget: np.ndarray, random: CounterRandom) -> np.ndarray:
    """Take every unit independently with probability `weights`; the budget is ignored.

    Args and result as in `sample_budget`.
    """
    return random("order", units.row, units.position) < weights


def inclusion_probabilities(units: UnitTable, weights: np.ndarray, budget: np.ndarray) -> np.ndarray:
    """Solve `sum of min(1, c * w) * length = budget` for c in each group (water-filling) and return the minima.

    Scaling all weights by one factor loses whatever it pushes above 1; here that mass goes to the other units. Each
    step fixes the units that reached 1 and divides the rest of the budget; c only grows, so it ends.

    Returns:
        float64 `[U]` in 0 to 1; all 1 (where w > 0) when the budget exceeds the eligible tokens.
    """
    groups, group = budget.size, units.group
    mass = weights * units.length
    full = np.zeros(group.size, dtype=bool)
    scale = np.zeros(groups)
    for _ in range(MAX_FILLING_STEPS):
        open_mass = np.bincount(group, np.where(full, 0.0, mass), minlength=groups)
        room = budget - np.bincount(group, np.where(full, units.length, 0), minlength=groups)
        np.divide(np.maximum(room, 0.0), open_mass, out=scale, where=open_mass > 0)
        reached = scale[group] * weights >= 1
        if not (reached & ~full).any():
            break
        full |= reached
    return np.where(full, 1.0, np.minimum(scale[group] * weights, 1.0))


SAMPLERS: dict[str, Sampler] = {
    "budget": sample_budget,
    "bernoulli": sample_bernoulli,
    "absolute": sample_absolute,
}


def _grouped_order(group: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Sort by (group, key): the group in the high bits, the 40 leading bits of the positive double below.

    The bit pattern of a positive double grows with its value. Forty bits of it are its exponent and 29 bits of
    fraction; equal ones are rare, and then the stable sort keeps the reading order, whatever the batch.
    """
    joint = group.astype(np.uint64) << GROUP_SHIFT
    joint |= key.view(np.uint64) >> KEY_SHIFT
    order = np.argsort(joint)
    ordered = joint[order]
    if (ordered[1:] == ordered[:-1]).any():
        return np.argsort(joint, kind="stable")
    return order


def _tokens_before(length: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return int64 `[U]`: tokens in earlier units of the same group; groups are contiguous."""
    before = np.cumsum(length)
    before -= length
    first = np.flatnonzero(begins_run(group))
    before -= np.repeat(before[first], np.diff(first, append=group.size))
    return before

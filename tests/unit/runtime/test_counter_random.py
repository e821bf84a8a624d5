"""The hash behind every random decision is uniform and independent, and stays what it is."""

import numpy as np
import pytest

from chinese_modernbert.runtime.counter_random import CounterRandom, scramble

MASK64 = 2**64 - 1
FROZEN = np.array([0.8571763567519676, 0.03468560479670024, 0.6127133536606858])


def splitmix(x: int) -> int:
    """The published finalizer in plain integers."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    return x ^ (x >> 31)


def test_mixer_is_splitmix64() -> None:
    # First outputs of SplitMix64 seeded with 0, from the reference implementation in C.
    golden = 0x9E3779B97F4A7C15
    states = np.array([(golden * k) & MASK64 for k in (1, 2, 3)], dtype=np.uint64)
    assert [hex(x) for x in scramble(states.copy()).tolist()] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]
    assert scramble(states.copy()).tolist() == [splitmix(x) for x in states.tolist()]


def grid(random: CounterRandom, stream: str = "order", rows: int = 200, positions: int = 1000) -> np.ndarray:
    row, position = np.divmod(np.arange(rows * positions), positions)
    return random(stream, row, position).reshape(rows, positions)


def test_numbers_are_uniform_and_inside_the_open_interval() -> None:
    uniform = grid(CounterRandom(0, 0, np.arange(200)))
    assert 0 < uniform.min() and uniform.max() < 1
    counts, _ = np.histogram(uniform, bins=100, range=(0, 1))
    chi_square = ((counts - 2000) ** 2 / 2000).sum()
    assert 57 < chi_square < 149  # 99 degrees of freedom, p = 0.001 at each end


@pytest.mark.parametrize("axis", [0, 1])
def test_neighbours_are_unrelated(axis: int) -> None:
    uniform = grid(CounterRandom(0, 0, np.arange(200)))
    first, second = (uniform[:-1], uniform[1:]) if axis == 0 else (uniform[:, :-1], uniform[:, 1:])
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.01


def test_every_coordinate_matters_and_only_they_do() -> None:
    base = grid(CounterRandom(3, 5, np.arange(200)))
    for other in (
        grid(CounterRandom(4, 5, np.arange(200))),
        grid(CounterRandom(3, 6, np.arange(200))),
        grid(CounterRandom(5, 3, np.arange(200))),
        grid(CounterRandom(3, 5, np.arange(200) + 1000)),
        grid(CounterRandom(3, 5, np.arange(200)), stream="kind"),
    ):
        assert abs(np.corrcoef(base.ravel(), other.ravel())[0, 1]) < 0.01
    np.testing.assert_array_equal(base[::-1], grid(CounterRandom(3, 5, np.arange(200)[::-1])))


def test_values_are_frozen() -> None:
    """Masks of a published run must stay reproducible: these numbers may never change."""
    frozen = CounterRandom(7, 1, np.array([42, 43]))("order", np.array([0, 1, 1]), np.array([0, 0, 9]))
    np.testing.assert_array_equal(frozen, FROZEN)


def test_asking_in_parts_gives_the_same() -> None:
    row, position = np.divmod(np.arange(60), 20)
    whole = CounterRandom(0, 0, np.arange(3))("x", row, position)
    parts = [CounterRandom(0, 0, np.arange(3))("x", row[i : i + 7], position[i : i + 7]) for i in range(0, 60, 7)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))

"""Random numbers without a generator: a number is a hash of (seed, epoch, sample, stream, position).

A generator's numbers depend on how often it was called before, so masks would change with the batch size, the order,
the number of workers and a restart. A hash has no history: none of these matters, and resuming needs no state.
"""

from functools import lru_cache
from hashlib import blake2b

import numpy as np

# The increment and the multipliers of SplitMix64.
# Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014 (variant 13 of the mixer).
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)


def scramble(values: np.ndarray) -> np.ndarray:
    """Scramble uint64 `values` in place so that neighbours become unrelated, and return them."""
    scratch = values >> np.uint64(30)
    values ^= scratch
    values *= MULTIPLIER_1
    np.right_shift(values, np.uint64(27), out=scratch)
    values ^= scratch
    values *= MULTIPLIER_2
    np.right_shift(values, np.uint64(31), out=scratch)
    values ^= scratch
    return values


def hash_combine(key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return the uint64 key that follows `key` when `value` (any integer) is mixed in; shapes broadcast."""
    return scramble(np.atleast_1d(key + value.astype(np.uint64) * GOLDEN + GOLDEN))


@lru_cache(maxsize=256)
def stream_key(name: str) -> int:
    """Return a fixed 63-bit number for a stream's name (blake2b, because Python's own hash changes per process)."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") >> 1


class CounterRandom:
    """Uniform numbers in the open interval (0, 1), a pure function of their coordinates.

    Args:
        seed: any integer; each seed has its own numbers
        epoch: any integer, or one for each row; the same text gets another mask in another epoch
        sample_ids: integer `[B]`, one stable id per row
    """

    def __init__(self, seed: int, epoch: int | np.ndarray, sample_ids: np.ndarray) -> None:
        key = hash_combine(np.zeros(1, dtype=np.uint64), np.asarray(seed % 2**63))
        key = hash_combine(key, np.asarray(epoch))
        self._row_keys = hash_combine(key, np.asarray(sample_ids))
        self._stream_keys: dict[str, np.ndarray] = {}

    def __call__(self, stream: str, row: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Draw one number for each (row, position).

        Args:
            stream: names the purpose, so that two decisions about one token are independent
            row: int64 `[n]`, index into the sample ids
            position: int64 `[n]`, >= 0

        Returns:
            float64 `[n]`, each in (0, 1); 52 random bits.
        """
        if stream not in self._stream_keys:
            self._stream_keys[stream] = hash_combine(self._row_keys, np.asarray(stream_key(stream)))
        hashed = position.astype(np.uint64)
        hashed *= GOLDEN
        hashed += self._stream_keys[stream][row]
        scramble(hashed)
        hashed >>= np.uint64(12)
        uniform = hashed.astype(np.float64)
        uniform += 0.5
        uniform *= 2.0**-52
        return uniform

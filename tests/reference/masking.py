"""A slow, obvious twin of the masker: plain Python loops over lists, one decision at a time.

It shares only the random numbers with the library (`CounterRandom`) and re-states every rule from the specification.
"""

import math
from collections.abc import Sequence

import numpy as np

from chinese_modernbert.runtime.counter_random import CounterRandom


def words_of_row(word_ids: Sequence[int], document_ids: Sequence[int]) -> list[tuple[int, int]]:
    """(position, length) of every word of one row."""
    words: list[tuple[int, int]] = []
    for position, word in enumerate(word_ids):
        if word < 0:
            continue
        joins = (
            words
            and words[-1][0] + words[-1][1] == position
            and word_ids[position - 1] == word
            and document_ids[position - 1] == document_ids[position]
        )
        if joins:
            words[-1] = (words[-1][0], words[-1][1] + 1)
        else:
            words.append((position, 1))
    return words


def split_long(words: list[tuple[int, int]], most: int | None) -> list[tuple[int, int]]:
    parts: list[tuple[int, int]] = []
    for position, length in words:
        if most is not None and length > most:
            parts += [(position + step, 1) for step in range(length)]
        else:
            parts.append((position, length))
    return parts


def uniform(random: CounterRandom, stream: str, row: int, position: int) -> float:
    return float(random(stream, np.array([row]), np.array([position]))[0])


def choose(
    words: list[tuple[int, int]], weights: list[float], budget: float, random: CounterRandom, row: int
) -> list[tuple[int, int]]:
    """Race the words, take them until the budget is spent, the first too long one by lot."""
    race = []
    for (position, length), weight in zip(words, weights, strict=True):
        if weight > 0:
            race.append((-math.log(uniform(random, "order", row, position)) / weight, position, length))
    taken: list[tuple[int, int]] = []
    spent = 0
    for _, position, length in sorted(race):
        room = budget - spent
        if room <= 0:
            break
        if length > room:
            if uniform(random, "boundary", row, position) * length < room:
                taken.append((position, length))
            break
        taken.append((position, length))
        spent += length
    return taken


def selected_positions(
    word_ids: np.ndarray,
    document_ids: np.ndarray,
    token_weights: np.ndarray,
    rate: float,
    random: CounterRandom,
    most: int | None = None,
    by_document: bool = False,
) -> np.ndarray:
    """Bool [B, L]: which tokens a whole-word masker with a budget selects."""
    selected = np.zeros(word_ids.shape, dtype=bool)
    for row in range(len(word_ids)):
        words = split_long(words_of_row(word_ids[row].tolist(), document_ids[row].tolist()), most)
        documents = sorted({int(document_ids[row, position]) for position, _ in words}) if by_document else [None]
        for document in documents:
            group = [word for word in words if document is None or document_ids[row, word[0]] == document]
            weights = [float(np.mean([token_weights[row, p + s] for s in range(n)], dtype=float)) for p, n in group]
            budget = rate * sum(length for _, length in group)
            for position, length in choose(group, weights, budget, random, row):
                selected[row, position : position + length] = True
    return selected

"""Units: where words, entities and n-grams begin and end."""

import numpy as np
import pytest

from chinese_modernbert.runtime.counter_random import CounterRandom
from chinese_modernbert.tokenization.word_starts import word_ids_from_starts
from chinese_modernbert.trainers.masking import (
    ColumnUnits,
    NGramUnits,
    OneTokenPerUnit,
    PackedBatch,
    TokenUnits,
    UnitTable,
)

DRAW = CounterRandom(0, 0, np.arange(64))


def batch_of(
    word_ids: list[list[int]], documents: list[list[int]] | None = None, **tags: list[list[int]]
) -> PackedBatch:
    words = np.array(word_ids)
    batch = PackedBatch(input_ids=np.full_like(words, 9), word_ids=words)
    if documents is not None:
        batch["document_ids"] = np.array(documents)
    batch["tags"] = {name: np.array(values) for name, values in tags.items()}
    return batch


def spans(units: UnitTable) -> list[tuple[int, int, int]]:
    return [(int(row), int(at), int(n)) for row, at, n in zip(units.row, units.position, units.length, strict=True)]


def test_equal_neighbours_are_one_word_and_minus_one_is_none() -> None:
    batch = batch_of([[-1, 1, 1, 2, -1, 2], [3, 3, 3, -1, -1, 3]])
    assert spans(ColumnUnits()(batch, DRAW)) == [(0, 1, 2), (0, 3, 1), (0, 5, 1), (1, 0, 3), (1, 5, 1)]


def test_a_word_ends_with_its_document_and_its_row() -> None:
    batch = batch_of([[1, 1, 1, 1], [1, 1, 1, 1]], documents=[[0, 0, 1, 1], [0, 0, 0, 0]])
    assert spans(ColumnUnits()(batch, DRAW)) == [(0, 0, 2), (0, 2, 2), (1, 0, 4)]


def test_tokens_are_units_without_specials() -> None:
    assert spans(TokenUnits()(batch_of([[-1, 1, 1, -1]]), DRAW)) == [(0, 1, 1), (0, 2, 1)]


def test_a_unit_over_the_limit_falls_apart_and_keeps_reading_order() -> None:
    batch = batch_of([[0, 0, 1, 1, 1, 2]])
    assert spans(ColumnUnits(max_tokens=2)(batch, DRAW)) == [
        (0, 0, 2),
        (0, 2, 1),
        (0, 3, 1),
        (0, 4, 1),
        (0, 5, 1),
    ]
    assert spans(ColumnUnits(max_tokens=3)(batch, DRAW)) == [(0, 0, 2), (0, 2, 3), (0, 5, 1)]


def test_entities_come_first_and_words_fill_the_rest() -> None:
    batch = batch_of([[0, 1, 1, 2, 3, 3, -1]], entity=[[-1, 7, 7, 7, -1, -1, 7]])
    assert spans(ColumnUnits("entity", fallback="word_ids")(batch, DRAW)) == [(0, 0, 1), (0, 1, 3), (0, 4, 2)]
    assert spans(ColumnUnits("entity")(batch, DRAW)) == [(0, 1, 3)]


def test_without_entities_entity_units_equal_words() -> None:
    batch = batch_of([[0, 1, 1, 2, -1, 2]], entity=[[-1] * 6])
    for ours, words in zip(
        ColumnUnits("entity", fallback="word_ids")(batch, DRAW), ColumnUnits()(batch, DRAW), strict=True
    ):
        np.testing.assert_array_equal(ours, words)


def test_ngram_lengths_follow_their_probabilities() -> None:
    batch = batch_of([list(range(4000)) for _ in range(64)])
    lengths = NGramUnits(ColumnUnits())(batch, DRAW).length
    shares = np.bincount(lengths, minlength=5)[1:] / lengths.size
    np.testing.assert_allclose(shares, [0.4, 0.3, 0.2, 0.1], atol=0.005)


def test_ngrams_tile_the_words_and_stop_at_documents_and_specials() -> None:
    generator = np.random.default_rng(1)
    documents = np.cumsum(generator.random((64, 90)) < 0.1, axis=1)
    special = generator.random((64, 90)) < 0.05
    words = word_ids_from_starts(generator.random((64, 90)) < 0.6, documents, special)
    batch = PackedBatch(input_ids=words, word_ids=words, document_ids=documents)
    base, tiles = ColumnUnits()(batch, DRAW), NGramUnits(ColumnUnits(), (0.1, 0.2, 0.7))(batch, DRAW)
    covered = np.zeros(words.size, dtype=int)
    for start, length in zip(tiles.start, tiles.length, strict=True):
        inside = slice(start, start + length)
        covered[inside] += 1
        assert len(set(documents.reshape(-1)[inside].tolist())) == 1
        assert len(set(words.reshape(-1)[inside].tolist())) <= 3
        assert start // 90 == (start + length - 1) // 90
    np.testing.assert_array_equal(covered, (words >= 0).reshape(-1))
    assert set(tiles.start) <= set(base.start)
    assert tiles.start.size < base.start.size


def test_unigrams_are_the_base_units() -> None:
    batch = batch_of([[0, 1, 1, 2, -1, 2]])
    assert spans(NGramUnits(ColumnUnits(), (1.0,))(batch, DRAW)) == spans(ColumnUnits()(batch, DRAW))


def test_one_token_of_each_unit_is_offered_and_each_place_gets_its_turn() -> None:
    batch = batch_of([[word for word in range(300) for _ in range(3)] for _ in range(64)])
    picked = OneTokenPerUnit(ColumnUnits())(batch, DRAW)
    assert (picked.length == 1).all()
    np.testing.assert_array_equal(picked.position // 3, np.tile(np.arange(300), 64))
    np.testing.assert_allclose(np.bincount(picked.position % 3) / picked.start.size, 1 / 3, atol=0.01)


def test_word_ids_break_at_starts_documents_and_specials() -> None:
    starts = np.array([[0, 1, 0, 0, 0, 0, 1, 0, 0]], dtype=bool)
    documents = np.array([[0, 0, 0, 1, 1, 1, 1, 1, -1]])
    special = np.array([[1, 0, 0, 0, 1, 0, 0, 0, 0]], dtype=bool)
    words = word_ids_from_starts(starts, documents, special)[0].tolist()
    assert [words[i] for i in (0, 4, 8)] == [-1, -1, -1]
    assert words[1] == words[2] and words[6] == words[7]
    assert len({words[1], words[3], words[5], words[6]}) == 4
    assert starts.tolist() == [[False, True, False, False, False, False, True, False, False]]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match="'entity'"):
        ColumnUnits("entity")(batch_of([[0, 1]]), DRAW)


@pytest.mark.parametrize("probabilities", [(), (0.5, 0.4), (1.5, -0.5)])
def test_impossible_ngram_probabilities_are_refused(probabilities: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        NGramUnits(ColumnUnits(), probabilities)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_tokens=0"):
        ColumnUnits(max_tokens=0)

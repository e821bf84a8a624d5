"""Exact and quantised search against plain loops, and what it must keep."""

import numpy as np
import pytest

from chinese_modernbert.evaluation.retrieval import vectors as retrieval
from chinese_modernbert.evaluation.retrieval.vectors import PRECISIONS, search_quantized, search_vectors


@pytest.fixture
def vectors() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(9, 40)).astype(np.float32), random.normal(size=(60, 40)).astype(np.float32)


def test_binary_search_ranks_by_the_bits_that_agree(vectors: tuple[np.ndarray, np.ndarray]) -> None:
    queries, passages = vectors
    numbers, scores = search_quantized(queries, passages, "binary", depth=60)
    for query, row, values in zip(queries, numbers, scores, strict=True):
        agreeing = [int(((query > 0) == (passages[i] > 0)).sum()) for i in row]
        assert agreeing == sorted(agreeing, reverse=True)
        assert values == pytest.approx([2 * count - 40 for count in agreeing])


def test_rescoring_ranks_the_nearest_by_the_float_query(vectors: tuple[np.ndarray, np.ndarray]) -> None:
    queries, passages = vectors
    numbers, _ = search_quantized(queries, passages, "binary rescored", depth=15)
    products = queries @ np.where(passages > 0, 1.0, -1.0).T
    assert np.array_equal(numbers, np.argsort(-products, axis=1)[:, :15])  # 4 x 15 candidates are all passages


def test_bytes_change_a_cosine_by_less_than_their_step(
    vectors: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, passages = vectors
    numbers, scores = search_quantized(queries, passages, "int8", depth=60)
    expected_numbers, expected = search_vectors(queries, passages, depth=60)
    assert np.take_along_axis(scores, np.argsort(numbers, axis=1), axis=1) == pytest.approx(
        np.take_along_axis(expected, np.argsort(expected_numbers, axis=1), axis=1), abs=5e-3
    )
    monkeypatch.setattr(retrieval, "QUERIES_AT_ONCE", 2)
    assert np.array_equal(search_quantized(queries, passages, "int8", depth=60)[0], numbers)


def test_a_depth_beyond_the_passages_gives_all_and_another_precision_is_refused(
    vectors: tuple[np.ndarray, np.ndarray],
) -> None:
    for precision in PRECISIONS:
        numbers, _ = search_quantized(*vectors, precision, depth=1000)
        assert np.array_equal(np.sort(numbers, axis=1), np.tile(np.arange(60), (9, 1)))
    with pytest.raises(ValueError, match="choose one of int8, binary"):
        search_quantized(*vectors, "int4")


def test_exact_search_ranks_by_cosine() -> None:
    random = np.random.default_rng(0)
    queries, passages = random.normal(size=(5, 8)), random.normal(size=(30, 8))
    numbers, scores = search_vectors(queries, passages, depth=30)
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (queries, passages)]
    cosines = unit[0] @ unit[1].T
    assert np.array_equal(numbers, np.argsort(-cosines, axis=1))
    assert scores == pytest.approx(-np.sort(-cosines, axis=1), abs=1e-6)

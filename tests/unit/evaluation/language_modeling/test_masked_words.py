import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from chinese_modernbert.evaluation.language_modeling import MaskedLanguageModelingScores, MaskedTokens, UnigramBaseline

COUNTS = np.array([0, 1, 6, 2])


def scores(sources: tuple[str, ...] = ("news", "law")) -> MaskedLanguageModelingScores:
    return MaskedLanguageModelingScores(UnigramBaseline(COUNTS), sources)


def batch(rows: list[tuple[int, int, float, int, int]]) -> MaskedTokens:
    """Make a batch of (label, prediction, loss, word, source)."""
    labels, predictions, losses, words, sources = (np.array(column) for column in zip(*rows, strict=True))
    return MaskedTokens(labels, predictions, losses, words, sources, np.arange(len(rows)))


EXAMPLE = [(2, 2, 0.5, 0, 0), (3, 3, 0.5, 0, 0), (1, 1, 1.0, 1, 0), (2, 3, 2.0, 1, 0), (2, 2, 0.0, 2, 1)]


def test_a_word_counts_only_if_all_its_tokens_are_right() -> None:
    counted = scores()
    counted.update(batch(EXAMPLE))
    figures = counted.compute()
    assert figures["token_accuracy"] == pytest.approx(4 / 5)
    assert figures["word_accuracy"] == pytest.approx(2 / 3)
    assert figures["loss"] == pytest.approx(4.0 / 5)
    assert figures["perplexity"] == pytest.approx(math.exp(0.8))
    assert (figures["masked_tokens"], figures["masked_words"]) == (5, 3)


def test_the_unigram_guess_is_the_most_frequent_token_and_its_loss_the_corpus_entropy() -> None:
    counted = scores()
    counted.update(batch(EXAMPLE))
    figures = counted.compute()
    smoothed = (COUNTS + 1) / (COUNTS + 1).sum()
    assert figures["unigram_token_accuracy"] == pytest.approx(3 / 5)
    assert figures["unigram_word_accuracy"] == pytest.approx(1 / 3)
    assert figures["unigram_loss"] == pytest.approx(float(-np.log(smoothed[[2, 3, 1, 2, 2]]).mean()))


def test_sources_are_counted_apart_and_silent_ones_left_out() -> None:
    counted = scores(("news", "law", "silent"))
    counted.update(batch(EXAMPLE))
    by_source = counted.compute_by_source()
    assert set(by_source) == {"news", "law"}
    assert by_source["news"]["token_accuracy"] == pytest.approx(3 / 4)
    assert by_source["news"]["word_accuracy"] == pytest.approx(1 / 2)
    assert by_source["law"]["unigram_token_accuracy"] == 1.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=50), st.integers(1, 7))
def test_token_accuracy_is_scikit_learns_however_the_tokens_are_batched(
    pairs: list[tuple[int, int]], size: int
) -> None:
    counted = scores(("all",))
    for first in range(0, len(pairs), size):
        part = pairs[first : first + size]
        counted.update(batch([(label, guess, 1.0, i, 0) for i, (label, guess) in enumerate(part)]))
    labels, guesses = zip(*pairs, strict=True)
    figures = counted.compute()
    assert figures["token_accuracy"] == pytest.approx(accuracy_score(labels, guesses))
    assert figures["word_accuracy"] == pytest.approx(figures["token_accuracy"])


def test_nothing_masked_gives_not_a_number_instead_of_a_score() -> None:
    assert math.isnan(scores().compute()["loss"])


def test_columns_of_different_lengths_are_refused() -> None:
    wrong = batch(EXAMPLE)
    wrong.losses = wrong.losses[:-1]
    with pytest.raises(ValueError, match="different lengths"):
        scores().update(wrong)


@pytest.mark.parametrize("counts", [np.zeros(4, int), np.zeros((2, 2), int)])
def test_a_baseline_from_no_counts_is_refused(counts: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no unigram guess"):
        UnigramBaseline(counts)

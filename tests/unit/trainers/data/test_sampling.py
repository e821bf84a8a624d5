"""Which documents an epoch reads: expectation, spacing, shares, and what is left at the seam of two stages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chinese_modernbert.trainers.data.sampling import (
    EpochRest,
    copies_in_epoch,
    epoch_order,
    epoch_samples,
    favor_long,
    rest_of_epoch,
    weights_by_source,
)

WEIGHTS = st.lists(st.sampled_from([0.0, 0.2, 0.5, 1.0, 1.5, 2.0, 7.3]), min_size=1, max_size=50)


@settings(max_examples=60, deadline=None)
@given(weights=WEIGHTS, seed=st.integers(0, 9), epochs=st.integers(1, 40))
def test_a_document_is_read_its_weight_times_per_epoch_up_to_one_sample_in_the_whole_run(
    weights: list[float], seed: int, epochs: int
) -> None:
    weight = np.array(weights)
    copies = np.stack([copies_in_epoch(weight, seed, epoch) for epoch in range(epochs)])
    assert ((copies == np.floor(weight)) | (copies == np.ceil(weight))).all()
    assert (np.abs(copies.sum(0) - epochs * weight) < 1 + 1e-9).all()


def test_the_fraction_of_a_weight_is_the_share_of_documents_with_one_sample_more() -> None:
    copies = copies_in_epoch(np.full(20_000, 2.3), seed=4, epoch=3)
    assert copies.mean() == pytest.approx(2.3, abs=0.02)


def test_half_of_the_documents_of_weight_one_half_are_read_in_one_epoch_and_the_others_in_the_next() -> None:
    first, second, third = (set(epoch_samples(np.full(100, 0.5), 0, epoch) % 100) for epoch in range(3))
    assert first | second == set(range(100))
    assert not first & second
    assert first == third


def test_weights_of_one_give_the_plain_order_of_the_epoch() -> None:
    assert epoch_samples(np.ones(300), 5, 2).tolist() == epoch_order(300, 5, 2).tolist()


@settings(max_examples=40, deadline=None)
@given(weights=WEIGHTS, epoch=st.integers(0, 5))
def test_samples_are_distinct_and_count_the_copies_of_a_document_from_zero(weights: list[float], epoch: int) -> None:
    weight = np.array(weights)
    samples = epoch_samples(weight, 1, epoch)
    copies = copies_in_epoch(weight, 1, epoch)
    expected = [document + copy * len(weights) for document, n in enumerate(copies) for copy in range(n)]
    assert sorted(samples.tolist()) == sorted(expected)
    assert np.array_equal(samples, epoch_samples(weight, 1, epoch))


def test_a_source_without_a_weight_has_one() -> None:
    found = weights_by_source({"news": 2, "forum": 0.5}, ["news", "wiki", "forum"], np.array([0, 1, 2, 1]))
    assert found.tolist() == [2.0, 1.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"nwes": 2.0}, "names no source of the corpus: nwes; it has news, wiki"),
        ({"news": -1.0}, "'news' the weight -1.0"),
        ({"news": "2"}, "'news' the weight '2'"),
        ({"news": float("nan")}, "'news' the weight nan"),
        ({"news": 0.0, "wiki": 0}, "every source with documents the weight 0"),
    ],
)
def test_weights_that_do_not_fit_the_corpus_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        weights_by_source(weights, ["news", "wiki"], np.array([0, 1]))


@settings(max_examples=60, deadline=None)
@given(
    positions=st.lists(st.integers(1, 5000), min_size=2, max_size=60),
    share=st.floats(0.01, 0.99),
    weight=st.sampled_from([0.3, 1.0, 4.0]),
)
def test_long_documents_take_exactly_the_share_in_expectation(
    positions: list[int], share: float, weight: float
) -> None:
    sizes = np.array(positions)
    is_long = np.arange(len(sizes)) % 2 == 0
    given_weights = np.where(np.arange(len(sizes)) % 3 == 0, weight, 1.0)
    weights = favor_long(given_weights, sizes, is_long, share)
    read = weights * sizes
    assert read[is_long].sum() / read.sum() == pytest.approx(share)
    assert np.array_equal(weights[~is_long], given_weights[~is_long])
    ratios = weights[is_long] / given_weights[is_long]
    assert np.allclose(ratios, ratios[0])


def test_a_share_of_one_reads_long_documents_alone() -> None:
    weights = favor_long(np.ones(3), np.array([5, 9, 7]), np.array([False, True, True]), 1.0)
    assert weights.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("share", "is_long", "message"),
    [
        (1.5, [True, False], "long_share=1.5 is not a share"),
        (0.5, [False, False], "long_share=0.5, but no document that is read is over long_tokens"),
        (0.5, [True, True], "long_share=0.5, but every document that is read is over long_tokens"),
    ],
)
def test_a_share_that_the_corpus_cannot_give_is_refused(share: float, is_long: list[bool], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        favor_long(np.ones(2), np.array([5, 9]), np.array(is_long), share)


def stop(weights: np.ndarray, epoch: int, share: float, seed: int = 0) -> EpochRest:
    """Return the state of a stage that stops after a share of an epoch's samples."""
    samples = epoch_samples(weights, seed, epoch)
    done = round(share * len(samples))
    return EpochRest(epoch, np.sort(samples[done:]), np.sort(samples[:done]), weights)


@settings(max_examples=60, deadline=None)
@given(weights=WEIGHTS.filter(any), epoch=st.integers(0, 3), share=st.floats(0, 1))
def test_under_the_same_weights_the_rest_is_what_was_left_in_the_same_order(
    weights: list[float], epoch: int, share: float
) -> None:
    weight = np.array(weights)
    before = stop(weight, epoch, share)
    done = len(before.used)
    assert rest_of_epoch(weight, 0, before).tolist() == epoch_samples(weight, 0, epoch)[done:].tolist()


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0.05, 0.95), old=st.sampled_from([0.5, 1.0, 3.0]), new=st.sampled_from([0.5, 1.0, 2.0, 6.5]))
def test_under_other_weights_the_rest_has_the_new_mixture_and_repeats_no_sample(
    share: float, old: float, new: float
) -> None:
    is_news = np.arange(2000) < 500
    before = stop(np.where(is_news, old, 1.0), 1, share)
    weights = np.where(is_news, new, 1.0)
    rest = rest_of_epoch(weights, 0, before)
    assert len(np.unique(rest)) == len(rest)
    assert not np.isin(rest, before.used).any()
    read = np.bincount(rest % 2000, minlength=2000)
    news, others = read[is_news].sum(), read[~is_news].sum()
    left = np.bincount(before.left % 2000, minlength=2000)
    assert others == left[~is_news].sum()
    assert abs(news - left[is_news].sum() * new / old) < 0.05 * max(news, 200)


def test_documents_that_were_not_reached_come_before_those_that_were() -> None:
    before = stop(np.ones(1000), 0, 0.6)
    read = np.bincount(rest_of_epoch(np.full(1000, 3.0), 0, before) % 1000, minlength=1000)
    reached = np.isin(np.arange(1000), before.used)
    assert read[~reached].min() >= 1
    assert read[reached].max() <= 1
    assert read.sum() == 3 * 400


def test_a_source_that_the_stage_before_left_out_comes_in_at_its_weight() -> None:
    is_book = np.arange(1000) < 200
    before = stop(np.where(is_book, 0.0, 1.0), 0, 0.75)
    read = np.bincount(rest_of_epoch(np.ones(1000), 0, before) % 1000, minlength=1000)
    assert read[is_book].sum() == 50
    assert read[~is_book].sum() == 200

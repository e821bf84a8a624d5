"""Feedback tables follow the model, keep their mean, survive a checkpoint and agree across processes."""

import numpy as np
import pytest

from chinese_modernbert.trainers.masking import AccuracyRule, FeedbackTable, LossRule, TagLossRule
from chinese_modernbert.trainers.masking.feedback import FeedbackRule

RULES = [AccuracyRule(), LossRule(), TagLossRule()]


def observations(seed: int = 0, size: int = 20, count: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entry k is wrong with a chance and a loss that grow with k."""
    generator = np.random.default_rng(seed)
    keys = generator.integers(0, size, count)
    return keys, keys / size + 0.1 * generator.random(count), generator.random(count) > keys / size


def feed(table: FeedbackTable, commits: int = 30) -> FeedbackTable:
    for step in range(1, commits + 1):
        table.observe(*observations(step))
        table.commit(step * table.every)
    return table


@pytest.mark.parametrize("rule", RULES)
def test_harder_entries_get_more_weight(rule: FeedbackRule) -> None:
    weights = feed(FeedbackTable(20, rule, every=5)).table
    assert np.corrcoef(np.argsort(np.argsort(weights)), np.arange(20))[0, 1] > 0.98
    assert (weights > 0).all()


@pytest.mark.parametrize("rule", [AccuracyRule(), LossRule()])
def test_the_mean_is_kept(rule: FeedbackRule) -> None:
    assert feed(FeedbackTable(20, rule)).table.mean() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_without_observations_all_weigh_alike(rule: FeedbackRule) -> None:
    table = FeedbackTable(5, rule, every=1)
    table.commit(1)
    assert np.ptp(table.table) == pytest.approx(0, abs=1e-6)


def test_the_accuracy_rule_by_hand() -> None:
    table = FeedbackTable(2, AccuracyRule(keep=0.2, floor=0.005), every=1)
    table.observe(np.array([0, 0, 0]), np.zeros(3), np.array([True, True, False]))
    table.commit(1)
    # accuracies (2.5 / 4, 0.5 / 1), errors relative to one half (0.75, 1), blended with weights of 1
    blended = np.array([0.2 + 0.8 * 0.75, 1.0])
    np.testing.assert_allclose(table.table, blended / blended.mean(), rtol=1e-6)


def test_tag_loss_by_hand() -> None:
    table = FeedbackTable(2, TagLossRule(keep=0.9), every=1)
    table.observe(np.array([0, 1, -1]), np.array([1.0, 3.0, 99.0]), np.zeros(3, dtype=bool))
    table.commit(1)
    np.testing.assert_allclose(table.table, 1 / (1 + np.exp([2.0, -2.0])), rtol=1e-6)


def test_weights_change_only_at_commits() -> None:
    table = FeedbackTable(20, AccuracyRule(), every=3)
    before = table.table
    table.observe(*observations())
    assert not table.commit(2) and np.array_equal(table.table, before)
    assert table.commit(3) and not np.array_equal(table.table, before)


@pytest.mark.parametrize("rule", RULES)
def test_a_checkpoint_between_commits_changes_nothing(rule: FeedbackRule) -> None:
    straight, first = (feed(FeedbackTable(20, rule), 3) for _ in range(2))
    first.observe(*observations(77))
    straight.observe(*observations(77))
    resumed = FeedbackTable(20, rule)
    resumed.load_state_dict(first.state_dict())
    for table in (straight, resumed):
        table.observe(*observations(78))
        table.commit(200)
    np.testing.assert_array_equal(resumed.table, straight.table)


@pytest.mark.parametrize("rule", RULES)
def test_two_processes_have_the_table_of_one(rule: FeedbackRule) -> None:
    keys, loss, correct = observations()
    one = FeedbackTable(20, rule, every=1)
    one.observe(keys, loss, correct)
    one.commit(1)
    halves = [FeedbackTable(20, rule, every=1) for _ in range(2)]
    for table, part in zip(halves, (slice(0, 1000), slice(1000, None)), strict=True):
        table.observe(keys[part], loss[part], correct[part])
    counts = [table.state_dict()["counts"] for table in halves]
    for table in halves:
        table.commit(1, lambda _: counts[0] + counts[1])
        np.testing.assert_array_equal(table.table, one.table)


def test_a_token_whose_loss_is_not_finite_is_left_out_and_a_foreign_key_is_named() -> None:
    table = FeedbackTable(3, LossRule(), every=1)
    table.observe(np.array([0, 1, 2]), np.array([1.0, np.nan, np.inf]), np.zeros(3, dtype=bool))
    assert table.state_dict()["counts"][0].tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match="id 3 does not fit a table of 3"):
        table.observe(np.array([3]), np.ones(1), np.ones(1, dtype=bool))


def test_impossible_tables_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        FeedbackTable(0, AccuracyRule())
    with pytest.raises(ValueError, match="20 rows, this one 5"):
        FeedbackTable(5, AccuracyRule()).load_state_dict(FeedbackTable(20, AccuracyRule()).state_dict())

import math

import pytest
import torch

from chinese_modernbert.trainers.masking.feedback_callback import labelled_logits
from chinese_modernbert.trainers.pretraining.objectives.z_loss import z_loss, z_loss_part

LOGITS = torch.tensor([[0.0, math.log(3.0)], [1.0, 1.0], [-2.0, -2.0]])
BY_HAND = [math.log(4.0) ** 2, (1 + math.log(2.0)) ** 2, (math.log(2.0) - 2) ** 2]


def test_the_z_loss_is_the_mean_of_the_squared_log_of_the_sum_of_exponentials() -> None:
    assert z_loss(LOGITS).item() == pytest.approx(sum(BY_HAND) / 3)


def test_the_terms_of_accumulated_micro_batches_add_up_to_that_of_one_batch() -> None:
    parts = z_loss(LOGITS[:1], items=3) + z_loss(LOGITS[1:], items=torch.tensor(3))
    assert parts.item() == pytest.approx(z_loss(LOGITS).item())


def test_labels_that_came_with_their_positions_are_taken_as_they_are_and_fillers_count_for_nothing() -> None:
    labels = torch.tensor([1, -100, 0])
    expected = 0.5 * (BY_HAND[0] + BY_HAND[2]) / 2
    assert z_loss_part(0.5, LOGITS, labels, 2)["z_loss"].item() == pytest.approx(expected)
    assert z_loss_part(0.0, LOGITS, labels, 2) == {}


def test_the_gradient_pulls_the_sum_of_exponentials_towards_one() -> None:
    logits = LOGITS.clone().requires_grad_()
    z_loss(logits).backward()
    assert logits.grad is not None
    assert (logits.grad[0] > 0).all()
    assert (logits.grad[2] < 0).all()


def test_a_batch_without_labels_has_no_z_loss() -> None:
    assert z_loss(LOGITS[:0]).item() == 0.0
    for items in (0, torch.tensor(0)):
        assert z_loss(LOGITS[:0], items).item() == 0.0


def test_full_logits_are_cut_down_to_the_labelled_positions() -> None:
    full, labels = torch.randn(2, 3, 5), torch.tensor([[-100, 4, -100], [1, -100, 2]])
    logits, kept = labelled_logits(full, labels)
    assert torch.equal(logits, torch.stack([full[0, 1], full[1, 0], full[1, 2]]))
    assert kept.tolist() == [4, 1, 2]
    assert labelled_logits(logits, labels)[0] is logits

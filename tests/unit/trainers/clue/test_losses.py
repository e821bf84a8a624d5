from typing import Any

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from transformers.modeling_outputs import QuestionAnsweringModelOutput, SequenceClassifierOutput

from chinese_modernbert.trainers.clue.losses import TaskLoss

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3], [-1.0, 3.0, 0.0], [1.0, 1.0, 1.0]])
LABELS = torch.tensor([0, 2, 2, 1])


def outputs(logits: torch.Tensor) -> SequenceClassifierOutput:
    return SequenceClassifierOutput(logits=logits)  # type: ignore[arg-type]


def test_without_options_it_is_cross_entropy() -> None:
    assert TaskLoss()(outputs(LOGITS), LABELS).item() == pytest.approx(cross_entropy(LOGITS, LABELS).item())


def test_two_parts_of_a_step_add_up_to_the_whole() -> None:
    parts = [TaskLoss()(outputs(LOGITS[part]), LABELS[part], 4) for part in (slice(0, 1), slice(1, 4))]
    assert sum(parts).item() == pytest.approx(cross_entropy(LOGITS, LABELS).item())  # type: ignore[union-attr]


def test_ignored_labels_count_for_nothing_and_a_batch_of_them_gives_zero() -> None:
    labels = torch.tensor([[0, -100], [-100, 1]])
    loss = TaskLoss()(outputs(LOGITS.reshape(2, 2, 3)), labels)
    assert loss.item() == pytest.approx(cross_entropy(LOGITS[[0, 3]], torch.tensor([0, 1])).item())
    assert TaskLoss()(outputs(LOGITS), torch.full((4,), -100)).item() == 0.0


def test_the_loss_of_an_answer_is_the_mean_of_start_and_end() -> None:
    starts, ends = LOGITS, LOGITS.flip(0)
    labels = torch.stack([LABELS, LABELS.flip(0)], dim=1)
    found = TaskLoss()(QuestionAnsweringModelOutput(start_logits=starts, end_logits=ends), labels)  # type: ignore[arg-type]
    expected = (cross_entropy(starts, LABELS) + cross_entropy(ends, LABELS.flip(0))) / 2
    assert found.item() == pytest.approx(expected.item())


def test_class_weights_multiply_the_loss_of_their_class() -> None:
    weights = [0.5, 1.0, 2.0]
    expected = (cross_entropy(LOGITS, LABELS, reduction="none") * torch.tensor(weights)[LABELS]).mean()
    assert TaskLoss(class_weights=weights)(outputs(LOGITS), LABELS).item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("kind", "logits", "labels", "expected"),
    [
        ("multi_label", LOGITS, (LOGITS > 0.2).float(), binary_cross_entropy_with_logits),
        ("regression", LOGITS[:, :1], LOGITS[:, 1], lambda logits, labels: mse_loss(logits.squeeze(1), labels)),
    ],
)
def test_other_kinds_have_the_loss_of_torch_in_parts_too(kind: Any, logits, labels, expected) -> None:
    whole = expected(logits, labels).item()
    assert TaskLoss(kind)(outputs(logits), labels).item() == pytest.approx(whole)
    parts = [TaskLoss(kind)(outputs(logits[at]), labels[at], labels.numel()) for at in (slice(0, 1), slice(1, 4))]
    assert sum(part.item() for part in parts) == pytest.approx(whole)

"""Feedback tables in a run: fed with every masked token, saved, and resumed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chinese_modernbert.trainers.masking import (
    ClassLoss,
    FeedbackTable,
    Masker,
    MaskVocabulary,
    PackedBatch,
    Replace,
    TokenUnits,
    UniformRate,
)
from chinese_modernbert.trainers.masking.feedback_callback import FEEDBACK_FILE, MaskingFeedback, masked_token_losses
from reference.feedback_training import SIZE, TAGS, masker, result, rows, train

REPLACE = Replace(MaskVocabulary(SIZE, 4, (0, 1, 2, 3, 4)))


def test_every_masked_token_is_counted_once_until_the_commit(tmp_path: Path) -> None:
    trainer = train(tmp_path, 4, max_steps=5, gradient_accumulation_steps=2)
    since_commit = [labels for step, labels in trainer.seen if step >= 4]
    expected = torch.cat([labels[labels != -100] for labels in since_commit])
    tables = trainer.masking_feedback.tables
    counts = {name: table.state_dict()["counts"][0] for name, table in tables.items()}
    np.testing.assert_array_equal(counts["labels"], np.bincount(expected, minlength=SIZE))
    np.testing.assert_array_equal(counts["pos"], np.bincount(expected % TAGS, minlength=TAGS))


def test_the_masks_follow_the_model(tmp_path: Path) -> None:
    trainer = train(tmp_path, 16, max_steps=30)
    table = trainer.masking_feedback.tables["labels"].table
    assert table[5:].max() > 2 * table[5:].min()
    batch = trainer.data_collator(rows())
    columns = {name: column.numpy() for name, column in batch.items()}
    packed = PackedBatch(input_ids=columns["input_ids"], word_ids=columns["word_ids"], tags={"pos": columns["tag_pos"]})
    hard = table[columns["input_ids"]] > np.median(table[columns["input_ids"]])
    selected = np.stack([trainer.masker(packed, 0.0, epoch)["selected"] for epoch in range(20)])
    assert selected[:, hard].mean() > 1.2 * selected[:, ~hard].mean()
    assert selected.mean() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("stop", [3, 4])
def test_a_resumed_run_equals_a_straight_one(tmp_path: Path, stop: int) -> None:
    straight = train(tmp_path / "a", 8)
    train(tmp_path / "b", 8, save_strategy="steps", save_steps=stop)
    resumed = train(tmp_path / "b", 8, resume=str(tmp_path / "b" / f"checkpoint-{stop}"))
    expected, got = result(straight), result(resumed)
    expected["labels"] = expected["labels"][stop:]
    for name, value in expected.items():
        assert torch.equal(value, got[name]), name


def test_a_checkpoint_without_the_tables_is_refused(tmp_path: Path) -> None:
    train(tmp_path, 8, max_steps=2, save_strategy="steps", save_steps=1)
    (tmp_path / "checkpoint-1" / FEEDBACK_FILE).unlink()
    with pytest.raises(FileNotFoundError, match="masks would not follow"):
        train(tmp_path, 8, max_steps=2, resume=str(tmp_path / "checkpoint-1"))


def test_loss_weights_reach_the_loss_and_equal_weights_change_nothing(tmp_path: Path) -> None:
    def run(name: str, weights: list[float] | None) -> torch.Tensor:
        loss = None if weights is None else ClassLoss("pos", np.array(weights))
        masks = Masker(TokenUnits(), 0.3, REPLACE, class_loss=loss)
        return result(train(tmp_path / name, 4, masks=masks, gradient_accumulation_steps=2, max_steps=3))["weights"]

    plain = run("plain", None)
    torch.testing.assert_close(run("equal", [7.0, 7.0, 7.0]), plain, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(run("unequal", [9.0, 1.0, 1.0]), plain, rtol=1e-2)


@pytest.mark.parametrize("weights", [None, [9.0, 1.0, 0.0]])
def test_accumulated_micro_batches_share_one_mean(tmp_path: Path, weights: list[float] | None) -> None:
    loss = None if weights is None else ClassLoss("pos", np.array(weights))
    masks = Masker(TokenUnits(), UniformRate(0, 1), REPLACE, class_loss=loss, budget="document")
    # Adam divides the gradient's size away and clipping cuts it, and so they would hide a wrong divisor.
    sgd: dict[str, Any] = {"optim": "sgd", "max_grad_norm": 0.0, "learning_rate": 0.5}
    whole = result(train(tmp_path / "a", 8, masks=masks, max_steps=2, **sgd))["weights"]
    parts = result(train(tmp_path / "b", 4, masks=masks, max_steps=2, gradient_accumulation_steps=2, **sgd))["weights"]
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("labelled", [0, 1, 1500])
def test_losses_of_full_and_of_sparse_logits_are_those_of_torch(labelled: int) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 1000, 11), torch.full((2, 1000), -100)
    labels.view(-1)[torch.randperm(2000)[:labelled]] = torch.randint(11, (labelled,))
    expected = torch.nn.functional.cross_entropy(logits.view(-1, 11), labels.view(-1), reduction="none")
    losses, correct = masked_token_losses(logits, labels)
    torch.testing.assert_close(losses, expected[labels.view(-1) != -100])
    assert torch.equal(correct, (logits.argmax(-1) == labels)[labels != -100])
    torch.testing.assert_close(masked_token_losses(logits[labels != -100], labels)[0], losses)


def test_labels_that_came_with_their_positions_give_the_same_losses_and_a_filler_none() -> None:
    torch.manual_seed(0)
    logits, ids = torch.randn(7, 11), torch.randint(11, (7,))
    expected, right = masked_token_losses(logits, ids)
    losses, correct = masked_token_losses(torch.cat((logits, logits[:2])), torch.tensor([*ids.tolist(), -100, -100]))
    torch.testing.assert_close(losses, torch.cat((expected, torch.zeros(2))))
    assert correct.tolist() == [*right.tolist(), False, False]


def test_a_masker_without_tables_has_no_feedback() -> None:
    assert MaskingFeedback(Masker(TokenUnits(), 0.3, REPLACE)).tables == {}
    assert isinstance(MaskingFeedback(masker()).tables["pos"], FeedbackTable)

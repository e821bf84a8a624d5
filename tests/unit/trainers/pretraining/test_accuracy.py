import numpy as np
import torch

from chinese_modernbert.trainers.pretraining.batches import masked_words
from chinese_modernbert.trainers.pretraining.log import TrainingAccuracy

WORD_IDS = np.array([[-1, 1, 1, 2, 3, 3], [-1, 1, 2, 2, 3, -1]])
LABELS = np.array([[-100, 5, 6, 7, -100, 8], [-100, 9, -100, 5, 6, -100]])


def test_neighbours_are_one_word_only_in_one_row_and_with_one_word_id() -> None:
    assert masked_words(WORD_IDS, LABELS).tolist() == [0, 0, 1, 2, 3, 4, 5]
    same_id_in_the_next_row = masked_words(np.array([[2], [2]]), np.array([[5], [5]]))
    assert same_id_in_the_next_row.tolist() == [0, 1]
    assert masked_words(WORD_IDS, np.full_like(LABELS, -100)).tolist() == []


def test_a_word_is_right_if_all_its_masked_tokens_are() -> None:
    accuracy = TrainingAccuracy()
    labels = torch.from_numpy(LABELS[LABELS != -100])
    predictions = labels.clone()
    predictions[1] = 0  # the second token of the first word
    accuracy.observe(predictions, labels, masked_words(WORD_IDS, LABELS))
    assert accuracy.as_logs() == {"token_accuracy": round(6 / 7, 5), "word_accuracy": round(5 / 6, 5)}
    assert accuracy.as_logs() == {}


def test_a_batch_without_labels_counts_for_nothing() -> None:
    accuracy = TrainingAccuracy()
    accuracy.observe(torch.zeros(0), torch.zeros(0), np.zeros(0, np.int64))
    assert accuracy.as_logs() == {}

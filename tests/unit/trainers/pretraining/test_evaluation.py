import numpy as np

from chinese_modernbert.evaluation.language_modeling import MaskedLanguageModelingScores, MaskedTokens, UnigramBaseline
from chinese_modernbert.trainers.pretraining.evaluation import flat_metrics, positions_in_documents


def test_positions_start_again_with_every_document() -> None:
    documents = np.array([[0, 0, 0, 1, 2, 2], [0, 0, 0, 0, -1, -1]])
    assert positions_in_documents(documents).tolist() == [[0, 1, 2, 0, 0, 1], [0, 1, 2, 3, 0, 1]]


def test_metrics_have_names_by_source_and_by_position() -> None:
    scores = MaskedLanguageModelingScores(UnigramBaseline(np.array([1, 2])), ["news"])
    labels, sources = np.array([1, 0, 1, 1]), np.zeros(4, np.int64)
    positions = np.array([255, 256, 256, 9000])
    scores.update(MaskedTokens(labels, np.array([1, 1, 1, 1]), np.ones(4), np.array([0, 1, 1, 2]), sources, positions))
    metrics = flat_metrics(scores, "eval")
    assert metrics["eval_token_accuracy"] == metrics["eval_token_accuracy/news"] == 0.75
    assert metrics["eval_token_accuracy/position_0_256"] == 1.0
    assert metrics["eval_token_accuracy/position_256_512"] == 0.5
    assert metrics["eval_word_accuracy/position_256_512"] == 0.0
    assert metrics["eval_masked_tokens/position_8192_end"] == 1
    assert "eval_loss/position_512_1024" not in metrics

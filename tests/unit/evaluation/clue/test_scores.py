import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, precision_recall_fscore_support

from chinese_modernbert.evaluation.clue.answers import answer_f1, exact_match
from chinese_modernbert.evaluation.clue.baselines import score_baseline
from chinese_modernbert.evaluation.clue.files import read_task
from chinese_modernbert.evaluation.clue.readers import Example
from chinese_modernbert.evaluation.clue.scores import entity_key, example_scores, score
from chinese_modernbert.evaluation.clue.tasks import TASKS
from chinese_modernbert.tokenization.entities import Span
from reference import cmrc_scores

TEXTS = st.text(st.sampled_from("北京的Ab1 ，。·-…é"), max_size=12)


def classes(labels: list[int]) -> list[Example]:
    return [Example(i, ("甲",), label) for i, label in enumerate(labels)]


def test_classification_figures_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    gold, found = rng.integers(0, 5, 200).tolist(), rng.integers(0, 5, 200).tolist()
    figures = score(TASKS["tnews"], found, classes(gold))
    assert figures == pytest.approx(
        {
            "accuracy": 100 * accuracy_score(gold, found),
            "macro_f1": 100 * f1_score(gold, found, average="macro"),
            "matthews": 100 * matthews_corrcoef(gold, found),
        }
    )


def test_scores_of_several_labels_are_those_of_a_binary_matrix() -> None:
    rng = np.random.default_rng(0)
    gold, found = rng.random((60, 5)) < 0.3, rng.random((60, 5)) < 0.3
    task = replace(TASKS["tnews"], kind="multi_label", labels=tuple("abcde"))
    examples = [Example(i, ("甲",), tuple(np.flatnonzero(row).tolist())) for i, row in enumerate(gold)]
    predictions = [np.flatnonzero(row).tolist() for row in found]
    assert score(task, predictions, examples) == pytest.approx(
        {
            "f1": 100 * f1_score(gold.ravel(), found.ravel()),
            "macro_f1": 100 * np.mean([f1_score(gold[:, k], found[:, k]) for k in range(5)]),
            "accuracy": 100 * (gold == found).all(axis=1).mean(),
        }
    )
    top, bottom = example_scores(task, predictions, examples).sum(axis=0)
    assert top / bottom == pytest.approx(f1_score(gold.ravel(), found.ravel()))


def test_scores_of_numbers_are_numpys_and_a_constant_has_no_correlation() -> None:
    rng = np.random.default_rng(0)
    gold, found = rng.normal(size=50), rng.normal(size=50)
    task = replace(TASKS["tnews"], kind="regression", labels=())
    examples = [Example(i, ("甲",), float(value)) for i, value in enumerate(gold)]
    figures = score(task, found.tolist(), examples)
    r2 = 1 - ((gold - found) ** 2).sum() / ((gold - gold.mean()) ** 2).sum()
    assert figures["pearson"] == pytest.approx(100 * np.corrcoef(gold, found)[0, 1])
    ranks = [value.argsort().argsort() for value in (gold, found)]
    assert figures["spearman"] == pytest.approx(100 * np.corrcoef(*ranks)[0, 1])
    assert figures["r2"] == pytest.approx(100 * r2)
    assert figures["mean_absolute_error"] == pytest.approx(np.abs(gold - found).mean())
    top, bottom = example_scores(task, found.tolist(), examples).sum(axis=0)
    assert top / bottom == pytest.approx(r2)
    assert score(task, [1.0] * 50, examples)["pearson"] == 0.0


@pytest.mark.parametrize(
    ("kind", "labels", "expected"),
    [
        ("classification", [0, 1, 1], 100 * 2 / 3),  # class 1, right in two of three rows
        ("multi_label", [(0,), (0, 1), ()], 100 * 2 * 2 / (3 + 3)),  # label 0 holds in more than half
        ("multi_label", [(0,), (1,), (), ()], 100 * 2 * 1 / (4 + 2)),  # none does: the most frequent one
        ("regression", [1.0, 2.0, 3.0], 0.0),
    ],
)
def test_the_baseline_is_the_best_answer_without_reading(kind: Any, labels: list[Any], expected: float) -> None:
    task = replace(TASKS["tnews"], kind=kind, labels=("a", "b"))
    examples = [Example(i, ("甲",), label) for i, label in enumerate(labels)]
    assert score_baseline(task, examples, examples) == pytest.approx(expected)


def test_the_baseline_of_choices_is_chance_and_entities_have_none() -> None:
    choices = [Example(0, ("甲",), 0, choices=("一", "二")), Example(1, ("甲",), 0, choices=tuple("一二三四"))]
    assert score_baseline(TASKS["c3"], choices, choices) == pytest.approx(37.5)
    assert score_baseline(TASKS["cluener"], [], [Example(0, ("甲",), entities=())]) is None


def test_entity_figures_are_scikit_learns_over_all_entities() -> None:
    """Every span that anybody names is a row: named by gold or not, named by the prediction or not."""
    rng = random.Random(0)
    kinds = ["name", "book"]
    examples, found, gold_rows, found_rows = [], [], [], []
    for number in range(50):
        spans = [Span(start, start + 1, kind) for start in range(6) for kind in kinds]
        gold, predicted = ({span for span in spans if rng.random() < 0.3} for _ in range(2))
        examples.append(Example(number, ("甲" * 6,), entities=tuple(gold)))
        found.append([entity_key(span) for span in predicted])
        gold_rows += [span in gold for span in spans]
        found_rows += [span in predicted for span in spans]
    precision, recall, f1, _ = precision_recall_fscore_support(gold_rows, found_rows, average="binary")
    expected = {"f1": 100 * f1, "precision": 100 * precision, "recall": 100 * recall}
    assert score(TASKS["cluener"], found, examples) == pytest.approx(expected)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
def test_answer_scores_are_those_of_the_slow_twin(prediction: str, answers: list[str]) -> None:
    assert exact_match(prediction, answers) == cmrc_scores.exact_match(prediction, answers)
    # The twin knows no signs within a run without Chinese characters; the ellipsis is one.
    if "…" not in prediction + "".join(answers):
        assert answer_f1(prediction, answers) == pytest.approx(cmrc_scores.f1(prediction, answers))


def test_the_shared_run_must_hang_together() -> None:
    """A common subsequence with gaps would give 6/7; the official measure takes the longest run, 2 of 3 and 4."""
    assert answer_f1("甲乙丙", ["甲乙丁丙"]) == pytest.approx(2 * 2 / 7)


def test_words_and_numbers_without_chinese_are_one_segment_each() -> None:
    assert answer_f1("在1,234.5公里", ["1,234.5公里"]) == pytest.approx(2 * 3 / 7)
    assert answer_f1("USS Port", ["uss port royal"]) == pytest.approx(2 * 2 / 5)


def test_gold_answers_score_full_marks_on_real_questions(real_data: Path) -> None:
    dev = read_task(TASKS["cmrc2018"], real_data / "clue").splits["dev"]
    figures = score(TASKS["cmrc2018"], [example.answers[0][0] for example in dev], dev)
    assert figures == pytest.approx({"average": 100.0, "exact_match": 100.0, "f1": 100.0})


@pytest.mark.parametrize("name", ["tnews", "cmrc2018", "cluener"])
def test_what_examples_add_makes_up_the_main_figure(name: str) -> None:
    rng = random.Random(1)
    if name == "tnews":
        examples, found = classes([rng.randrange(3) for _ in range(30)]), [rng.randrange(3) for _ in range(30)]
    elif name == "cmrc2018":
        examples = [Example(i, ("问", "文"), answers=(("北京的天气", 0), ("天气", 3))) for i in range(30)]
        found = ["北京的天气"[: rng.randrange(6)] for _ in range(30)]
    else:
        gold = (Span(0, 1, "name"), Span(2, 3, "book"))
        examples = [Example(i, ("甲乙丙",), entities=gold[: rng.randrange(3)]) for i in range(30)]
        found = [[entity_key(span) for span in gold if rng.random() < 0.5] for _ in range(30)]
    sums = example_scores(TASKS[name], found, examples).sum(axis=0)
    task = TASKS[name]
    assert 100 * sums[0] / sums[1] == pytest.approx(score(task, found, examples)[task.metric])


def test_missing_predictions_are_refused() -> None:
    with pytest.raises(ValueError, match="1 predictions cannot be scored against 2 examples"):
        score(TASKS["tnews"], [0], classes([0, 1]))
    with pytest.raises(ValueError, match="0 predictions"):
        score(TASKS["tnews"], [], [])


def test_predictions_survive_the_way_through_a_file() -> None:
    found = [entity_key(Span(0, 2, "name"))]
    assert json.loads(json.dumps(found)) == ["0:2:name"]

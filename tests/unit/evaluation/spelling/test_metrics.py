"""Scores of spelling correction beside a slow count of confusion matrices and cases that were counted by hand."""

import random

import pytest

from chinese_modernbert.evaluation.clue.significance import compare
from chinese_modernbert.evaluation.spelling import Counts, correction_rows, count_sentences, spelling_scores

# Written, correct, predicted: right; wrong character; wrong place and the right one; missed; clean; clean and changed.
SENTENCES = [
    ("我们座车去", "我们坐车去", "我们坐车去"),
    ("今天天汽好", "今天天气好", "今天天器好"),
    ("他在再学校", "他还在学校", "他还在学笑"),
    ("请把们关上", "请把门关上", "请把们关上"),
    ("这里很安静", "这里很安静", "这里很安静"),
    ("水果很新鲜", "水果很新鲜", "水果很心鲜"),
]


def prf(right: float, changed: float, errors: float) -> tuple[float, float, float]:
    precision = right / changed if changed else 0.0
    recall = right / errors if errors else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def slow_scores(rows: list[tuple[str, str, str]]) -> dict[str, tuple[float, float, float] | float]:
    """Count with lists of (place, character), a sentence at a time, as the published scripts do."""
    sentence_right = {"detection": 0, "correction": 0}
    edits_right = {"detection": 0, "correction": 0}
    positive = predicted_positive = gold_edits = predicted_edits = negative = false_positive = 0
    for source, target, prediction in rows:
        gold = [(i, target[i]) for i in range(len(source)) if source[i] != target[i]]
        found = [(i, prediction[i]) for i in range(len(source)) if source[i] != prediction[i]]
        gold_edits, predicted_edits = gold_edits + len(gold), predicted_edits + len(found)
        if gold:
            positive += 1
            sentence_right["detection"] += [i for i, _ in gold] == [i for i, _ in found]
            sentence_right["correction"] += gold == found
        else:
            negative += 1
            false_positive += len(found) > 0
        predicted_positive += len(found) > 0
        for edit in found:
            edits_right["correction"] += edit in gold
            edits_right["detection"] += edit[0] in [i for i, _ in gold]
    return {
        **{name: prf(right, predicted_positive, positive) for name, right in sentence_right.items()},
        **{f"character_{name}": prf(right, predicted_edits, gold_edits) for name, right in edits_right.items()},
        "false_positive_rate": false_positive / negative if negative else 0.0,
    }


def our_scores(rows: list[tuple[str, str, str]]) -> dict[str, tuple[float, float, float] | float]:
    scores = spelling_scores(*([row[column] for row in rows] for column in range(3)))
    levels = ("detection", "correction", "character_detection", "character_correction")
    found: dict[str, Counts] = {level: getattr(scores, level) for level in levels}
    return {
        **{name: (one.precision, one.recall, one.f1) for name, one in found.items()},
        "false_positive_rate": scores.false_positive_rate,
    }


def test_scores_are_those_that_were_counted_by_hand() -> None:
    scores = spelling_scores(*zip(*SENTENCES, strict=True))
    # Changed: 1, 2, 3 and 6. With errors: 1 to 4. The places are right in 1 and 2, the characters in 1 alone.
    assert scores.detection == Counts(right=2, changed=4, errors=4)
    assert scores.correction == Counts(right=1, changed=4, errors=4)
    # Errors: 1 + 1 + 2 + 1. Changes: 1 + 1 + 3 + 1, of which 4 are at errors, and 3 give the right character.
    assert scores.character_detection == Counts(right=4, changed=6, errors=5)
    assert scores.character_correction == Counts(right=3, changed=6, errors=5)
    assert (scores.sentences, scores.clean, scores.clean_changed) == (6, 2, 1)
    assert scores.false_positive_rate == 0.5
    assert (scores.correction.precision, scores.correction.recall, scores.correction.f1) == (0.25, 0.25, 0.25)


def test_scores_equal_a_slow_count_on_random_sentences() -> None:
    draw = random.Random(3)
    for _ in range(200):
        rows = []
        for _ in range(draw.randrange(12)):
            target = "".join(draw.choices("甲乙丙丁", k=draw.randrange(6)))
            source, prediction = (
                "".join(draw.choice("甲乙丙丁") if draw.random() < 0.3 else one for one in target) for _ in range(2)
            )
            rows.append((source, target, prediction))
        ours, slow = our_scores(rows), slow_scores(rows)
        assert ours.keys() == slow.keys()
        for name, value in ours.items():
            assert value == pytest.approx(slow[name], abs=1e-12), name


def test_characters_are_code_points() -> None:
    scores = spelling_scores(["𠮷😀e\u0301"], ["吉😀e\u0301"], ["吉😀e\u0301"])
    assert scores.character_correction == Counts(1, 1, 1)


def test_nothing_scores_zero() -> None:
    scores = spelling_scores([], [], [])
    assert (scores.correction.f1, scores.character_detection.precision, scores.false_positive_rate) == (0.0, 0.0, 0.0)
    assert scores.sentences == 0
    assert spelling_scores([""], [""], [""]).clean == 1


def test_the_rows_of_a_comparison_have_the_f1_of_the_scores() -> None:
    columns = list(zip(*SENTENCES, strict=True))
    rows = correction_rows(count_sentences(*columns))
    assert rows[:, 0].sum() / rows[:, 1].sum() == pytest.approx(spelling_scores(*columns).correction.f1)
    unchanged = correction_rows(count_sentences(columns[0], columns[1], columns[0]))
    assert compare(rows, unchanged, draws=100).difference == pytest.approx(25.0)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((["甲"], ["甲"], []), "1 sources, 1 targets, 0 predictions cannot be compared"),
        ((["甲", "乙"], ["甲", "乙"], ["甲", "乙乙"]), "sentence 2 has 1, 1 and 2 characters"),
    ],
)
def test_what_cannot_be_compared_is_refused(columns: tuple[list[str], list[str], list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spelling_scores(*columns)

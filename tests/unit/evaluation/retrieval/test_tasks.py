"""Tasks built from triplets and from graded pairs."""

from typing import Any

import pytest

from chinese_modernbert.evaluation.retrieval.tasks import RetrievalTask, task_from_pairs, task_from_triplets
from chinese_modernbert.evaluation.sentences.rows import ScoredPair, Triplet


def test_equal_texts_are_one_query_and_one_passage() -> None:
    triplets = [Triplet("q", "p", ("n",)), Triplet("q", "p2"), Triplet("r", "p", ("p2",))]
    task = task_from_triplets(triplets, distractors=("n", "d"))
    assert task.queries == ("q", "r") and task.passages == ("p", "n", "p2", "d")
    assert task.relevant == (frozenset({0, 2}), frozenset({0}))


def test_graded_pairs_keep_their_grades_and_a_query_without_an_answer_is_left_out() -> None:
    pairs = [
        ScoredPair("q", "p", 1.0),
        ScoredPair("q", "r", 1 / 3),
        ScoredPair("q", "s", 0.0),
        ScoredPair("nothing", "t", 1 / 3),
    ]
    task = task_from_pairs(pairs, distractors=["d", "p"])
    assert task.queries == ("q",) and set(task.passages) == {"p", "r", "s", "t", "d"}
    names = {task.passages[number]: grade for number, grade in task.gains(0).items()}
    assert names == {"p": 1.0, "r": 1 / 3}
    assert [task.passages[number] for number in task.relevant[0]] == ["p"]


def test_an_answer_without_a_grade_has_the_highest() -> None:
    task = task_from_triplets([Triplet("q", "p"), Triplet("q", "r")], graded=[ScoredPair("q", "r", 2 / 3)])
    assert dict(task.gains(0)) == {0: 1.0, 1: 2 / 3}
    assert task_from_triplets([Triplet("q", "p")]).grades == ()


def test_of_two_grades_of_a_pair_the_higher_counts() -> None:
    pairs = [ScoredPair("q", "p", 1.0), ScoredPair("q", "p", 1 / 3), ScoredPair("q", "r", 1 / 3)]
    for order in (pairs, pairs[::-1]):
        task = task_from_pairs(order)
        assert {task.passages[number]: grade for number, grade in task.gains(0).items()} == {"p": 1.0, "r": 1 / 3}


def test_a_fingerprint_names_texts_answers_and_grades() -> None:
    given: list[Any] = [("q",), ("p", "r"), (frozenset({0}),), ({0: 1.0},)]
    task = RetrievalTask(*given)
    assert RetrievalTask(*given[:3]).fingerprint() == task.fingerprint()  # a grade of 1 says nothing more
    for place, other in enumerate((("x",), ("p", "x"), (frozenset({0, 1}),), ({0: 1.0, 1: 0.5},))):
        changed = [*given[:place], other, *given[place + 1 :]]
        changed[3] = ({0: 1.0, 1: 1.0},) if place == 2 else changed[3]
        assert RetrievalTask(*changed).fingerprint() != task.fingerprint()


@pytest.mark.parametrize("grades", [({},), ({0: 1.0, 2: 1.0},), ({0: 1.0, 1: 0.0},), ({0: 1.0}, {0: 1.0})])
def test_grades_that_do_not_fit_are_refused(grades: tuple) -> None:
    with pytest.raises(ValueError, match="grades of"):
        RetrievalTask(("q",), ("p", "r"), (frozenset({0}),), grades)


@pytest.mark.parametrize(
    ("queries", "relevant", "message"),
    [
        ((), (), "nothing to ask"),
        (("a",), (), "do not fit"),
        (("a",), (frozenset(),), "names no passage"),
        (("a",), (frozenset({9}),), "outside 0..1"),
    ],
)
def test_a_task_that_cannot_be_scored_is_refused(queries: tuple, relevant: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RetrievalTask(queries, ("p", "q"), relevant)

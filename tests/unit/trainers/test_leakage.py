"""Leaking texts: equal ones after folding, near ones by the exact index of a slow twin, and what is refused."""

import random

import pytest

from chinese_modernbert.trainers.leakage import character_pairs, comparable, find_leaks, jaccard

ALPHABET = "天地人你我他她它山水火木金土日月星辰风云雨雪"


def sentence(source: random.Random, length: int = 24) -> str:
    return "".join(source.choice(ALPHABET) for _ in range(length))


def test_width_case_space_and_punctuation_do_not_hide_an_equal_text() -> None:
    report = find_leaks({"train": ["ＡＢＣ 今天天气好！", "别的话"]}, {"test": ["abc今天天气好"]}, similarity=1.0)
    assert report.texts == {"ＡＢＣ 今天天气好！"}
    assert report.counts == {"train": {"test": {"exact": 1}}}
    assert report.summary() == "train and test share 1 exact"


def test_near_texts_are_those_of_the_slow_twin() -> None:
    source = random.Random(0)
    evaluation = [sentence(source) for _ in range(60)]
    training = [sentence(source) for _ in range(60)]
    for text in evaluation[:30]:
        place = source.randrange(len(text))
        training.append(text[:place] + source.choice(ALPHABET) + text[place + 1 :])
    expected = {
        text
        for text in training
        for other in evaluation
        if jaccard(character_pairs(comparable(text)), character_pairs(comparable(other))) >= 0.8
    }
    assert len(expected) > 20
    assert find_leaks({"train": training}, {"test": evaluation}, similarity=0.8).texts == expected


def test_a_text_counts_for_every_set_that_holds_it_and_empty_texts_for_none() -> None:
    report = find_leaks(
        {"a": ["同一句话", "……"], "b": ["同一句话"]}, {"x": ["同一句话", "！"], "y": ["同一句话。"]}, 1.0
    )
    assert report.counts == {name: {"x": {"exact": 1}, "y": {"exact": 1}} for name in ("a", "b")}


def test_nothing_shared_is_said() -> None:
    assert find_leaks({"a": ["山水"]}, {"x": ["风雨"]}, 0.9).summary() == "no text is shared"
    assert find_leaks({"a": ["山水"]}, {"x": []}, 0.9).texts == set()
    assert jaccard(frozenset("ab"), frozenset("bc")) == pytest.approx(1 / 3)

"""Noise keeps the length and everything but Han characters, and depends on the text's number alone."""

import re
from collections import Counter
from collections.abc import Sequence

import pytest

from chinese_modernbert.evaluation.spelling import ConfusionSet, SpellingNoise, corrupt_text

SOUND = ConfusionSet.of([("在", "再"), ("坐", "座"), ("坐", "a"), ("𠮷", "吉")])
SHAPE = ConfusionSet.of([("己", "已"), ("坐", "巫"), ("A", "人")])
TEXT = "我A在 12，坐。😀自己e\u0301在ｗ坐𠮷！"


def test_only_han_characters_become_others_that_the_set_allows() -> None:
    seen: set[str] = set()
    for number in range(60):
        noisy = corrupt_text(TEXT, SOUND, 0.5, 0, number)
        assert len(noisy) == len(TEXT)
        for before, after in zip(TEXT, noisy, strict=True):
            assert SOUND.allows(before, after)
            seen |= {before + after} if before != after else set()
    assert seen == {"在再", "坐座", "𠮷吉"}  # never a Latin letter, neither way


def test_the_rate_is_the_chance_of_each_known_character() -> None:
    text = "在坐" * 5_000 + "们" * 5_000
    changed = [a != b for a, b in zip(text, corrupt_text(text, SOUND, 0.2, 7, 1), strict=True)]
    assert sum(changed) / 10_000 == pytest.approx(0.2, abs=0.012)  # three deviations
    assert not any(changed[10_000:])
    assert corrupt_text("在" * 100, SOUND, 1.0, 0, 0) == "再" * 100


def test_kinds_are_drawn_by_their_shares_among_those_that_know_the_character() -> None:
    found = Counter(SpellingNoise((SOUND, SHAPE), (3, 1), 1.0).corrupt("坐" * 4_000, 5))
    assert found["座"] / 4_000 == pytest.approx(0.75, abs=0.021) and found["座"] + found["巫"] == 4_000
    assert SpellingNoise((SOUND, SHAPE), (1, 0), 1.0).corrupt("己坐", 0) == "己座"  # a share of 0 is never drawn
    assert SpellingNoise((SOUND, SHAPE), (1e-9, 1), 1.0).corrupt("在" * 50, 0) == "再" * 50


def test_errors_depend_on_seed_number_and_place_alone() -> None:
    first = [corrupt_text(TEXT * 20, SOUND, 0.3, 0, number) for number in (1, 2)]
    assert first == [corrupt_text(TEXT * 20, SOUND, 0.3, 0, number) for number in (2, 1)][::-1]
    assert first[0] != first[1] != corrupt_text(TEXT * 20, SOUND, 0.3, 1, 2)
    # What follows a text does not change its errors.
    assert corrupt_text(TEXT, SOUND, 0.3, 0, 1) == first[0][: len(TEXT)]


def test_texts_of_nothing_and_of_100_000_characters() -> None:
    assert corrupt_text("", SOUND, 0.5, 0, 0) == ""
    assert corrupt_text("abc 123", SOUND, 1.0, 0, 0) == "abc 123"
    long = corrupt_text("坐" * 100_000, SOUND, 0.5, 0, 2**62)
    assert len(long) == 100_000 and re.fullmatch("[坐座]+", long)


@pytest.mark.parametrize(
    ("shares", "rate", "message"),
    [
        ((1.0,), 0.1, "1 shares for 2 confusion sets"),
        ((1.0, -1.0), 0.1, "must not be negative"),
        ((0.0, 0.0), 0.1, "one must be above 0"),
        ((float("nan"), 1.0), 0.1, "must not be negative"),
        ((1.0, 1.0), 0.0, "rate=0.0 must be above 0"),
        ((1.0, 1.0), 1.5, "rate=1.5 must be above 0 and at most 1"),
        ((1.0, 1.0), float("nan"), "rate=nan must be above 0"),
    ],
)
def test_what_cannot_act_is_refused(shares: Sequence[float], rate: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpellingNoise((SOUND, SHAPE), shares, rate)


def test_a_set_that_changes_no_chinese_character_is_refused() -> None:
    with pytest.raises(ValueError, match="confusion set 2 names no two Han characters"):
        SpellingNoise((SOUND, ConfusionSet.of([("a", "b"), ("a", "在")])), (1.0, 1.0), 0.5)

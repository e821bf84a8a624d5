"""Whether numbers are in their ranges, and a folder was made with the same settings."""

import dataclasses
import json
import math
from typing import Any

import pytest

from chinese_modernbert.runtime.options import argument
from chinese_modernbert.runtime.settings import differing_settings, require_ranges


@dataclasses.dataclass
class Numbers:
    share: float | None = argument(0.5, "", within="[0, 1)")
    count: int = argument(1, "", within="[1, inf)")
    rates: list[float] = argument(list, "", within="(0, inf)")
    free: float = -3.0
    text: str = "nan"
    flag: bool = True


@pytest.mark.parametrize(
    "given", [{}, {"share": 0.0}, {"share": None}, {"count": 10**30}, {"rates": [1e-9, 1e9]}, {"flag": False}]
)
def test_numbers_in_their_ranges_pass(given: dict[str, Any]) -> None:
    require_ranges(Numbers(**given))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"share": 1.0}, r"share=1.0 is not a number in \[0, 1\); give one"),
        ({"share": -0.1}, r"share=-0.1 is not a number in \[0, 1\); give one"),
        ({"count": 0}, r"count=0 is not a number in \[1, inf\); give one"),
        ({"rates": [1.0, 0.0]}, r"rates=0.0 is not a number in \(0, inf\); give one"),
        ({"rates": [math.inf]}, r"rates=inf is not"),
        ({"free": math.nan}, r"free=nan is not a number in \(-inf, inf\); give one"),
        ({"free": -math.inf}, r"free=-inf is not"),
    ],
)
def test_numbers_out_of_range_or_not_finite_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_ranges(Numbers(**given))


def test_settings_that_went_through_json_are_equal() -> None:
    settings = {"rates": (1e-5, 2e-5), "stages": [{"share": 0.5}], "model": None, "名": 1}
    assert differing_settings(json.loads(json.dumps(settings)), settings) == []


def test_every_difference_is_named_with_both_values() -> None:
    found = differing_settings({"seed": 1, "gone": True, "same": [1]}, {"seed": 2, "new": 0.5, "same": [1]})
    assert found == ["seed was 1, is 2", "new was not recorded, is 0.5", "gone was True, is not recorded"]


def test_numbers_are_compared_by_value_and_a_missing_key_is_no_null() -> None:
    assert differing_settings({"n": 1}, {"n": 1.0}) == []
    assert differing_settings({"n": None}, {}) == ["n was None, is not recorded"]

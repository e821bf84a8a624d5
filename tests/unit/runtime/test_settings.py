"""Whether a folder was made with the same settings."""

import json

from chinese_modernbert.runtime.settings import differing_settings


def test_settings_that_went_through_json_are_equal() -> None:
    settings = {"rates": (1e-5, 2e-5), "stages": [{"share": 0.5}], "model": None, "名": 1}
    assert differing_settings(json.loads(json.dumps(settings)), settings) == []


def test_every_difference_is_named_with_both_values() -> None:
    found = differing_settings({"seed": 1, "gone": True, "same": [1]}, {"seed": 2, "new": 0.5, "same": [1]})
    assert found == ["seed was 1, is 2", "new was not recorded, is 0.5", "gone was True, is not recorded"]


def test_numbers_are_compared_by_value_and_a_missing_key_is_no_null() -> None:
    assert differing_settings({"n": 1}, {"n": 1.0}) == []
    assert differing_settings({"n": None}, {}) == ["n was None, is not recorded"]

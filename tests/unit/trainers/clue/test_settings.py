"""Finished runs: those of older versions count as equal where nothing that acted has changed."""

from chinese_modernbert.runtime.settings import differing_settings
from chinese_modernbert.trainers.clue.settings import in_effect


def test_a_run_of_an_older_version_is_equal_unless_what_is_gone_had_acted() -> None:
    new = {"metric": "accuracy", "lora_rank": 0, "lora_alpha": 32, "max_length": 128}
    old = {"figure": "accuracy", "focal_gamma": 0.0, "lora_rank": 0, "lora_alpha": 16, "max_length": 128}
    assert differing_settings(in_effect(old), in_effect(new)) == []
    changed = {**old, "focal_gamma": 2.0}
    assert differing_settings(in_effect(changed), in_effect(new)) == ["focal_gamma was 2.0, is not recorded"]
    adapted = [{**one, "lora_rank": 4} for one in (old, new)]
    assert differing_settings(*map(in_effect, adapted)) == ["lora_alpha was 16, is 32"]

"""Finished runs: those of older versions count as equal where nothing that acted has changed."""

import json
from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert.evaluation.clue.report import REPORT_JSON
from chinese_modernbert.runtime.settings import differing_settings
from chinese_modernbert.trainers.clue.settings import in_effect, refuse_other_report


def test_a_run_of_an_older_version_is_equal_unless_what_is_gone_had_acted() -> None:
    new = {"metric": "accuracy", "lora_rank": 0, "lora_alpha": 32, "max_length": 128}
    old = {"figure": "accuracy", "focal_gamma": 0.0, "lora_rank": 0, "lora_alpha": 16, "max_length": 128}
    assert differing_settings(in_effect(old), in_effect(new)) == []
    changed = {**old, "focal_gamma": 2.0}
    assert differing_settings(in_effect(changed), in_effect(new)) == ["focal_gamma was 2.0, is not recorded"]
    adapted = [{**one, "lora_rank": 4} for one in (old, new)]
    assert differing_settings(*map(in_effect, adapted)) == ["lora_alpha was 16, is 32"]


def write_report(folder: Path, settings: dict[str, Any], *tasks: str) -> None:
    content = {"settings": settings, "tasks": [{"task": name} for name in tasks]}
    (folder / REPORT_JSON).write_text(json.dumps(content), encoding="utf-8")


def test_a_report_gives_way_to_more_tasks_and_seeds_on_any_machine_and_to_nothing_else(tmp_path: Path) -> None:
    settings = {"model": "m", "seeds": [1, 2], "grid": None, "device": "CPU", "learning_rate": "the task's"}
    refuse_other_report(tmp_path, settings, ["a"])  # nothing is there
    write_report(tmp_path, settings, "a", "b")
    refuse_other_report(tmp_path, {**settings, "seeds": [1, 2, 3], "device": "GPU"}, ["b", "a", "c"])
    for change, message in (
        ({"seeds": [2, 3]}, "seeds were 1, 2, are 2, 3"),
        ({"model": "n"}, "model was 'm', is 'n'"),
        ({"learning_rate": 1e-3}, 'learning_rate was "the task\'s", is 0.001'),
    ):
        with pytest.raises(FileExistsError, match=message):
            refuse_other_report(tmp_path, {**settings, **change}, ["a", "b"])
    with pytest.raises(FileExistsError, match="tasks were a, b, are a; give another output_dir, or --overwrite"):
        refuse_other_report(tmp_path, settings, ["a"])


def test_a_report_of_an_older_version_is_compared_in_what_it_holds(tmp_path: Path) -> None:
    write_report(tmp_path, {"model": "m", "seeds": [1], "max_length": 0}, "a")
    settings = {"model": "m", "seeds": [1], "max_length": "the task's", "learning_rate": "the task's"}
    refuse_other_report(tmp_path, settings, ["a"])
    with pytest.raises(FileExistsError, match="max_length was"):
        refuse_other_report(tmp_path, {**settings, "max_length": 64}, ["a"])

"""benchmarks/weights_report.py: what it runs, what it does not run again, and the figures it takes from reports."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chinese_modernbert.cli import imported, split_command
from chinese_modernbert.commands import COMMANDS
from chinese_modernbert.runtime.options import load_recipe

FILE = Path(__file__).parents[3] / "benchmarks" / "weights_report.py"
found = importlib.util.spec_from_file_location("weights_report", FILE)
assert found is not None and found.loader is not None
script: Any = importlib.util.module_from_spec(found)
found.loader.exec_module(script)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    for name in ("final", "final_averaged"):
        (tmp_path / "run" / name).mkdir(parents=True)
        (tmp_path / "run" / name / "config.json").write_text("{}")
        (tmp_path / "run" / name / "model.safetensors").write_text(name)
        (tmp_path / "run" / name / "recipe.yaml").write_text("ema_evaluation: true\n")
    return tmp_path


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the commands that were started instead of starting them; `clue` fails once."""
    started: list[list[str]] = []

    def run(words: list[str], check: bool) -> Any:
        started.append(words[3:])
        return SimpleNamespace(returncode=int(words[3] == "clue" and [one[0] for one in started].count("clue") == 1))

    monkeypatch.setattr(script, "subprocess", SimpleNamespace(run=run))
    return started


@pytest.mark.parametrize("step", list(script.STEPS))
def test_every_step_is_a_command_with_options_that_it_has(
    step: str, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHINESE_MODERNBERT_DATA", str(weights))  # a recipe names it
    words = script.command_of(step, script.folders_of(weights, "mini"))
    assert not [word for word in words if word.split("/")[0].isupper()]
    name, words = split_command(words)
    first = COMMANDS[name].first
    words = [f"--{first}", *words] if first and not words[0].startswith("-") else words
    recipe = words[words.index("--config") + 1] if "--config" in words else None
    given = [word for word in words if word not in ("--config", recipe)]
    load_recipe([imported(COMMANDS[name].arguments)], recipe, given)


def test_a_card_takes_the_reports_that_are_there(weights: Path) -> None:
    folders = script.folders_of(weights, "mini")
    assert "--clue_report" not in script.command_of("release", folders)
    assert "--clue_report" not in script.words_of("release", folders)  # what the record shows is what was run
    (folders["REPORT"] / "clue").mkdir(parents=True)
    report = folders["REPORT"] / "clue" / "report.json"
    report.write_text("{}")
    words = script.command_of("release", folders)
    assert words[words.index("--clue_report") + 1] == str(report) and words[-1] == "--overwrite"


def test_averaged_weights_are_the_ones_to_release(weights: Path, tmp_path: Path) -> None:
    assert script.folders_of(weights, "mini")["MODEL"] == weights / "run" / "final_averaged"
    (weights / "run" / "final_averaged" / "config.json").unlink()
    assert script.folders_of(weights, "mini")["MODEL"] == weights / "run" / "final"
    with pytest.raises(SystemExit, match="is not finished"):
        script.folders_of(tmp_path / "elsewhere", "mini")


def test_a_step_that_failed_ends_it_and_the_next_call_goes_on_there(weights: Path, commands: list[list[str]]) -> None:
    folders, steps = script.folders_of(weights, "mini"), ["curves", "pairs", "blanks", "clue", "release", "verify"]
    with pytest.raises(SystemExit, match="clue ended with code 1"):
        script.run_steps(steps, folders)
    assert [one[0] for one in commands] == ["pretrain", "minimal-pairs", "fill", "clue"]
    del commands[:]
    commands.append(["clue"])  # it has failed before
    state = script.run_steps(steps, folders)
    assert [one[0] for one in commands[1:]] == ["clue", "release", "verify"]
    assert list(state["steps"]) == steps and str(weights) not in json.dumps(state["steps"])
    assert script.run_steps(steps, folders) == state and len(commands) == 4


def test_a_release_under_another_name_is_made_and_other_steps_are_not_repeated(
    weights: Path, commands: list[list[str]]
) -> None:
    commands.append(["clue"])  # it has failed before
    steps = ["pairs", "release", "verify"]
    script.run_steps(steps, script.folders_of(weights, "mini"))
    del commands[:]
    script.run_steps(steps, script.folders_of(weights, "other"))
    assert [one[0] for one in commands] == ["release", "verify"]
    assert str(script.MODELS / "other") in commands[0] and commands[1][1] == str(script.MODELS / "other")
    with pytest.raises(SystemExit, match="verify needs release"):
        script.run_steps(["verify"], script.folders_of(weights, "third"))


def test_a_step_that_needs_another_is_not_begun(weights: Path, commands: list[list[str]]) -> None:
    with pytest.raises(SystemExit, match="release_sentences needs sentences"):
        script.run_steps(["release_sentences"], script.folders_of(weights, "mini"))
    assert commands == []


def test_reports_about_other_weights_are_not_added_to(weights: Path, commands: list[list[str]]) -> None:
    folders = script.folders_of(weights, "mini")
    script.run_steps(["curves"], folders)
    (folders["MODEL"] / "model.safetensors").write_text("other weights")
    with pytest.raises(SystemExit, match="move its folder away"):
        script.run_steps(["curves"], folders)


def test_the_record_has_the_last_evaluation_by_position_and_what_reports_say(
    weights: Path, commands: list[list[str]]
) -> None:
    folders = script.folders_of(weights, "mini")

    def scores(loss: float) -> dict[str, float]:
        kinds = {"loss": loss, "token_accuracy": 0.25, "word_accuracy": 0.5, "masked_tokens": 2_000.0}
        return {f"eval_{kind}{end}": value for kind, value in kinds.items() for end in ("", "/position_0_256", "/news")}

    lines = [{"step": 1, **scores(9.0)}, {"step": 2, "loss": 5.0}, {"step": 2, **scores(4.5)}]
    (folders["RUN"] / "training_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    share = {"overall": {"value": 0.75, "low": 0.7, "high": 0.8}}
    reports = {
        "pairs": {"models": [{"scores": {"word": {"slln": share}}}]},
        "blanks": {"models": [{"right": 31, "first": 20, "sentences": [{}] * 50}]},
        "clue": {"tasks": [{"task": "tnews", "metric": "accuracy", "dev": {"mean": 52.2, "deviation": None}}]},
    }
    for name, content in reports.items():
        (folders["REPORT"] / name).mkdir(parents=True)
        (folders["REPORT"] / name / "report.json").write_text(json.dumps(content))
    text = script.write_record(script.run_steps(["curves"], folders), folders).read_text(encoding="utf-8")
    assert "| all | 4.500 | 25.00 | 50.00 | 2,000 |" in text and "| 0 to 256 | 4.500 |" in text and "/news" not in text
    assert "| minimal pairs right, one word masked at once | slln 75.00 % |" in text
    assert "31 of 50, 20 at first" in text and "| tnews, dev, accuracy | 52.20 |" in text
    assert "pretrain plot RUN --picture" in text and str(weights) not in text
    (folders["MODEL"] / "recipe.yaml").write_text("ema_decay: 0.9\n")  # the last weights were evaluated, not these
    text = script.write_record(script.run_steps(["curves"], folders), folders).read_text(encoding="utf-8")
    assert "4.500" not in text and "The run evaluated its last weights" in text

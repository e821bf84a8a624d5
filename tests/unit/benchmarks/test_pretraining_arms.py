"""benchmarks/pretraining_arms.py: what it refuses before hours of training, and which weights it scores."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
found = importlib.util.spec_from_file_location("pretraining_arms", ROOT / "benchmarks" / "pretraining_arms.py")
assert found is not None and found.loader is not None
script: Any = importlib.util.module_from_spec(found)
found.loader.exec_module(script)

STAGE = {"context_length": 256, "share": 1.0}
ARMS = {
    "plain": {"about": "as it is", "changes": {}},
    "average": {"about": "averaged", "changes": {"ema_decay": 0.9, "ema_evaluation": True}},
    "short": {"about": "short rows", "changes": {"stages": [{**STAGE, "context_length": 128}]}},
}


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the commands that were started; each writes what a finished one leaves."""
    started: list[list[str]] = []

    def run(words: list[str], **options: Any) -> None:
        started.append(words[3:])
        output = Path(words[words.index("--output_dir") + 1])
        output.mkdir(parents=True, exist_ok=True)
        if words[3] == "pretrain":
            lines = [{"step": 9, "loss": 5.0, "positions_seen": 900}, {"step": 9, "eval_loss": 4.0}]
            (output / "training_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        else:
            scores = {"word": {"slln": {"overall": {"value": 0.75}}}}
            (output / "report.json").write_text(json.dumps({"models": [{"scores": scores}]}))

    errors = subprocess.CalledProcessError
    monkeypatch.setattr(script, "subprocess", SimpleNamespace(run=run, CalledProcessError=errors))
    monkeypatch.setenv("CHINESE_MODERNBERT_DATA", str(tmp_path))
    (tmp_path / "zhoblimp").mkdir()
    (tmp_path / "zhoblimp" / "zhoblimp.jsonl.gz").touch()
    for name in ("train", "eval"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(name)
    return started


Call = Callable[..., int]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return what runs the script with these arms, further words, and fields of the recipe that differ."""

    def run(arms: list[str], *words: str, **recipe: Any) -> int:
        file = tmp_path / "arms.yaml"
        file.write_text(yaml.safe_dump({"recipe": {"stages": [STAGE], **recipe}, "arms": ARMS}))
        folders = {
            "data": "train",
            "eval_data": "eval",
            "tokenizer": "tokenizer",
            "work": "work",
            "results": "all.jsonl",
        }
        given = [word for name, value in folders.items() for word in (f"--{name}", str(tmp_path / value))]
        monkeypatch.setattr(sys, "argv", ["script", str(file), *given, "--seeds", "1", "--arms", *arms, *words])
        with pytest.raises(SystemExit) as caught:
            script.main()
        return int(caught.value.code or 0)

    return run


def test_the_weights_that_are_evaluated_are_those_whose_pairs_are_scored(
    tmp_path: Path, commands: list[list[str]], call: Call
) -> None:
    assert call(["plain", "average"], "--pairs", "5", "--jobs", "1") == 0
    scored = [Path(words[1]) for words in commands if words[0] == "minimal-pairs"]
    assert [path.relative_to(tmp_path / "work").as_posix() for path in scored] == [
        "plain-1/run/final",
        "average-1/run/final_averaged",
    ]
    rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [(row["arm"], row["positions"], row["eval_loss"], row["pairs_word_slln"]) for row in rows] == [
        (arm, 900, 4.0, 0.75) for arm in ("plain", "average")
    ]


def test_a_finished_run_of_other_settings_stands_in_no_others_place(
    tmp_path: Path, commands: list[list[str]], call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["plain"]) == 0
    assert call(["plain"]) == 0 and len(commands) == 1  # the same words run nothing again
    assert call(["average"], learning_rate=0.1) == 0  # a row of an arm that is not asked for is passed by
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text("other text")
    others: list[tuple[tuple[str, ...], dict[str, Any]]] = [
        (("--pairs", "5"), {}),
        (("--eval_data", str(tmp_path / "other")), {}),
        ((), {"learning_rate": 0.1}),
    ]
    for words, recipe in others:
        assert call(["plain"], *words, **recipe) == 2
        assert "holds plain, seed 1, with another recipe" in capsys.readouterr().err
    assert len(commands) == 2


def test_what_would_end_after_hours_is_refused_at_once(
    tmp_path: Path, commands: list[list[str]], call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["plain", "short"]) == 2
    assert "rows of different lengths (256: plain; 128: short)" in capsys.readouterr().err
    assert call(["plane"]) == 2
    assert "has no arm plane; it has average, plain, short" in capsys.readouterr().err
    (tmp_path / "zhoblimp" / "zhoblimp.jsonl.gz").unlink()
    assert call(["plain"], "--pairs", "5") == 2
    assert "--pairs needs zhoblimp/zhoblimp.jsonl.gz" in capsys.readouterr().err
    assert commands == []
    assert call(["plain", "short"], eval_context_length=256) == 0


def test_a_run_that_fails_is_told_by_the_exit_code(
    commands: list[list[str]], call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(words: list[str], **options: Any) -> None:
        raise subprocess.CalledProcessError(3, words)

    monkeypatch.setattr(script.subprocess, "run", fail)
    assert call(["plain"]) == 1
    assert "failed with code 3" in capsys.readouterr().out


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks" / "arms").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_arms_of_a_file_can_be_compared(file: Path) -> None:
    described = yaml.safe_load(file.read_text(encoding="utf-8"))
    changes = {name: arm["changes"] for name, arm in described["arms"].items()}
    script.check_arms(SimpleNamespace(file=file, recipe=described["recipe"], changes=changes, arms=[*changes], pairs=0))

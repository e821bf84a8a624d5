"""Minimal pairs: reading, shares by hand, intervals against resampling itself, the command and its report."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chinese_modernbert.cli import main
from chinese_modernbert.evaluation.language_modeling.minimal_pairs import MinimalPair, read_pairs, score_pairs

PAIRS = [
    MinimalPair("drop", "ellipsis", "甲", "乙丙"),
    MinimalPair("drop", "ellipsis", "丁", "戊"),
    MinimalPair("order", "ellipsis", "甲", "丁"),
    MinimalPair("count", "classifier", "戊", "戊己"),
]
TOKENS = {
    "甲": np.array([-3.0]),
    "乙丙": np.array([-2.0, -2.0]),
    "丁": np.array([-1.0]),
    "戊": np.array([-1.0]),
    "戊己": np.array([-1.0, -0.5]),
}


def row(**changed: Any) -> dict[str, Any]:
    return {"UID": "drop", "phenomenon": "ellipsis", "sentence_good": "我们去", "sentence_bad": "去我们", **changed}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("score", "drop", "order", "count"),
    # drop: -3 against -4 (sum), -2 (mean), -4 / sqrt 2 = -2.83 (slln); its second pair is equal, which is not right.
    [("sum", 0.5, 0, 1), ("mean", 0, 0, 0), ("slln", 0, 0, 1)],
)
def test_shares_are_those_by_hand(score: str, drop: float, order: float, count: float) -> None:
    found = score_pairs(PAIRS, TOKENS, score)
    assert {name: one.value for name, one in found.paradigms.items()} == {"drop": drop, "order": order, "count": count}
    assert found.phenomena["ellipsis"].value == pytest.approx((drop + order) / 2)
    assert found.phenomena["classifier"].value == count
    assert found.overall.value == pytest.approx((drop + order + count) / 3)


def test_intervals_are_those_of_pairs_drawn_again_and_again() -> None:
    random = np.random.default_rng(0)
    right = {"one": random.random(60) < 0.7, "two": random.random(30) < 0.4}
    pairs, tokens = [], {}
    for name, values in right.items():
        for number, is_right in enumerate(values):
            pair = MinimalPair(name, "all", f"{name}{number}好", f"{name}{number}坏")
            tokens |= {pair.good: np.array([-1.0]), pair.bad: np.array([-2.0 if is_right else -0.5])}
            pairs.append(pair)
    drawn = [np.mean([random.choice(values, len(values)).mean() for values in right.values()]) for _ in range(4_000)]
    found = score_pairs(pairs, tokens, "sum", resamples=4_000).overall
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.02)


def test_intervals_hold_the_truth_as_often_as_they_say_where_paradigms_have_two_pairs() -> None:
    random, held, trials, share = np.random.default_rng(0), 0, 300, 0.7
    pairs = [MinimalPair(f"{number // 2}", "all", f"{number}好", f"{number}坏") for number in range(100)]
    for trial in range(trials):
        is_right = random.random(len(pairs)) < share
        tokens = {pair.bad: np.array([-1.0]) for pair in pairs}
        tokens |= {pair.good: np.array([-2.0 + 2 * right]) for pair, right in zip(pairs, is_right, strict=True)}
        found = score_pairs(pairs, tokens, "sum", resamples=200, seed=trial).overall
        held += found.low <= share <= found.high
    assert held / trials == pytest.approx(0.95, abs=0.04)  # 0.83 where as many pairs are drawn as there are


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(), {"UID": "drop"}], ":2 has no field 'phenomenon'"),
        ([row(sentence_bad=3)], ":1: field 'sentence_bad' is int"),
        ([row(sentence_bad="我们去")], ":1 has an empty sentence or two equal ones"),
        ([row(sentence_good=" ")], ":1 has an empty sentence"),
        ([row(), row(phenomenon="passive")], ":2 counts drop to passive, an earlier line to ellipsis"),
        ([], "holds no pair"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_pairs(write(tmp_path / "pairs.jsonl", rows))


def test_a_limit_takes_the_first_pairs_of_each_paradigm(tmp_path: Path) -> None:
    rows = [row(), row(sentence_good="他"), row(UID="other", sentence_good="她")]
    found = read_pairs(write(tmp_path / "pairs.jsonl", rows), limit=1)
    assert [(one.paradigm, one.good) for one in found] == [("drop", "我们去"), ("other", "她")]


def test_the_real_set_is_read_whole(real_data: Path) -> None:
    pairs = read_pairs(real_data / "zhoblimp" / "zhoblimp.jsonl.gz")
    assert len(pairs) == 35_400
    assert len({pair.paradigm for pair in pairs}) == 118
    assert len({pair.phenomenon for pair in pairs}) == 15


def test_the_command_reports_models_side_by_side(
    tmp_path: Path, saved_checkpoint: Path, saved_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "pairs.jsonl.gz"
    rows = [row(), row(UID="other", phenomenon="passive", sentence_good="他喜欢读书", sentence_bad="他读书喜欢")]
    data.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    output = tmp_path / "report"
    words = ["minimal-pairs", str(saved_checkpoint), str(saved_release), "--data", str(data)]
    words += ["--output_dir", str(output), "--segmenter", "none", "--resamples", "10"]
    assert main(words) == 0
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    names = [f"{folder.parent.name}/{folder.name}" for folder in (saved_checkpoint, saved_release)]
    assert [one["name"] for one in report["models"]] == names
    first, second = (one["scores"] for one in report["models"])
    assert first == second  # a release has the weights of its checkpoint
    assert set(first) == {"token", "word"}
    assert str(tmp_path) not in (output / "report.md").read_text(encoding="utf-8")
    assert (output / "phenomena.png").stat().st_size > 1_000
    assert main(words) == 2
    assert "give another output_dir, or overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no model is given"),
        (["m", "--masking", "sentence"], "must be of token, word"),
        (["m", "--limit", "1"], "limit=1 is not a number in [2, inf)"),
        (["m", "--segmenter", "lexicon"], "segmenter"),
        (["m", "--data", "nowhere.jsonl"], "no minimal pairs at nowhere.jsonl"),
    ],
)
def test_a_wrong_option_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["minimal-pairs", *words]) == 2
    assert message in capsys.readouterr().err

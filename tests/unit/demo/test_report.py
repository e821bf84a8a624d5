"""The demo's report: what was measured is in it, and no word of the model breaks a table."""

import re
from dataclasses import replace

import pytest

from chinese_modernbert.demo.arguments import DemoArguments
from chinese_modernbert.demo.report import DemoReport, FillMaskComparison, render_report
from chinese_modernbert.modeling.blanks_chinese_modernbert import Word
from chinese_modernbert.runtime.options import load_recipe

REPORT = DemoReport(
    seconds=61.4,
    training_characters=12_345,
    parameters=678,
    evaluations=[{"eval_word_accuracy": 0.5, "eval_unigram_word_accuracy": 0.125}],
    losses=[{"step": 1, "loss": 8.0}, {"step": 90, "loss": 2.5}],
    fill_mask=[
        FillMaskComparison(
            "北京是{mask}。",
            "首都",
            [Word(" a|b\n", (5,), (-1.0,), -1.0), Word(" ", (6,), (-1.0,), -1.0)],
            [Word("首都", (7,), (-0.1,), -0.1)],
        )
    ],
    sentences=["甲", "乙"],
    similarities=[[1.0, -0.25], [-0.25, 1.0]],
    verification="28 passed, 0 failed, 0 skipped",
    release="demo/release",
    curves="curves.png",
)


def rows_of(text: str) -> list[list[str]]:
    """Return the cells of every line of a table, read as Markdown: a bar with a backslash does not end a cell."""
    lines = [line for line in text.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_every_number_is_in_the_report() -> None:
    text = render_report(REPORT)
    for part in ("12,345", "678", "90 steps", "8.00", "2.50", "50.0%", "12.5%", "1 of 1", "28 passed", "61 seconds"):
        assert part in text, part
    wrong = replace(REPORT, fill_mask=[replace(REPORT.fill_mask[0], answer="城市")])
    assert "0 of 1" in render_report(wrong)


def test_words_and_similarities_are_rows_of_whole_tables() -> None:
    rows = rows_of(render_report(REPORT))
    assert rows[2] == ["北京是▢。", "首都", "a\\|b ␣", "首都"]
    assert rows[3:] == [["", "1", "2"], ["---"] * 3, ["1", "+1.00", "-0.25"], ["2", "-0.25", "+1.00"]]


def test_a_demo_of_no_step_is_refused() -> None:
    with pytest.raises(ValueError, match="max_steps=0 is not a number in"):
        load_recipe([DemoArguments], None, {"max_steps": 0})

"""The report of correctors: the cells are the scores, gains are paired, mistakes are shown."""

import json
from pathlib import Path

import numpy as np
import pytest

from chinese_modernbert.evaluation.spelling import (
    ScoredCorrector,
    SpellingPair,
    spelling_scores,
    write_spelling_report,
)

PAIRS = [SpellingPair("我们座车", "我们坐车"), SpellingPair("天汽好", "天气好"), SpellingPair("很安静", "很安静")]
SOURCES, TARGETS = [pair.source for pair in PAIRS], [pair.target for pair in PAIRS]
ONE_RIGHT = ["我们坐车", "天器好", "很安静"]
ALL_CHANGED = ["我们坐车", "天气好", "很按静"]


def test_the_report_holds_scores_gains_and_mistakes(tmp_path: Path) -> None:
    correctors = [
        ScoredCorrector("unchanged", [{"three": SOURCES}]),
        ScoredCorrector("two|runs", [{"three": ONE_RIGHT}, {"three": ALL_CHANGED}], {"three": 1.5}),
    ]
    text = write_spelling_report(tmp_path, {"three": PAIRS}, correctors, {"seed": 0}).read_text(encoding="utf-8")
    rows = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["sets"]["three"]
    scores = [spelling_scores(SOURCES, TARGETS, run) for run in (ONE_RIGHT, ALL_CHANGED)]
    f1 = [one.correction.f1 for one in scores]
    assert f1 == [0.5, 0.8]
    assert rows[1]["correction"]["f1"] == f1 and rows[1]["false_positive_rate"] == [0.0, 1.0]
    assert rows[0]["correction"]["f1"] == [0.0] and "gain" not in rows[0]
    # Means over the runs: twice the 1 and 2 that are right, over 2 with errors and the 2 and 3 that were changed.
    assert rows[1]["gain"]["f1"] == pytest.approx(100 * 3 / 4.5)
    assert f"{100 * np.mean(f1):.1f} ± {100 * np.std(f1, ddof=1):.1f}" in text
    assert "3 sentences, 1 of them clean." in text and "| 2.0 |" in text
    assert "| 天汽好 | 天气好 | 天器好 |" in text  # a mistake of the first run, not of the second
    assert "| 很安静 | 很安静 | 很按静 |" not in text
    assert "- seed: 0" in text


def test_a_report_of_nothing_is_refused(tmp_path: Path) -> None:
    for sets, correctors in (({}, [ScoredCorrector("a", [{}])]), ({"a": PAIRS}, []), ({"a": PAIRS}, [("a", [])])):
        with pytest.raises(ValueError, match="give one of each"):
            write_spelling_report(
                tmp_path, sets, [ScoredCorrector(*one) if isinstance(one, tuple) else one for one in correctors], {}
            )
    with pytest.raises(ValueError, match="cannot be compared"):
        write_spelling_report(tmp_path, {"a": PAIRS}, [ScoredCorrector("a", [{"a": SOURCES[:2]}])], {})

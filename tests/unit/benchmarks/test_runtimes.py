"""benchmarks/runtimes: which rows of the matrix fail, how the table says so, and what a probe compares."""

import importlib.util
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "benchmarks" / "runtimes"


def load(name: str) -> Any:
    found = importlib.util.spec_from_file_location(f"runtimes_{name}", FOLDER / f"{name}.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # where a dataclass looks its annotations up
    found.loader.exec_module(module)
    return module


table, probing = load("table"), load("probing")


@pytest.mark.parametrize(
    ("precision", "cosine", "difference", "fault"),
    [
        ("float32", 0.9999, 1e-3, ""),
        ("float32", 0.99989, 1e-6, "below 0.9999"),
        ("float32", 1.0, 2e-3, "above 0.001"),
        ("float32", math.nan, 1e-6, "below 0.9999"),
        ("float32", None, None, "below 0.9999"),
        ("int8", 0.99, 0.5, ""),
        ("int8", 0.9899, 0.0, "below 0.99"),
        ("bfloat16", 0.98, 0.0, "below 0.99"),
        ("tokens", None, 0.0, ""),
        ("tokens", None, 1.0, "above 0"),
        ("float16", 1.0, 0.0, "no bar"),
    ],
)
def test_a_row_fails_where_it_misses_the_bar_of_its_precision(
    precision: str, cosine: float | None, difference: float | None, fault: str
) -> None:
    row = table.Row("runtime", "1.0", "task", precision, cosine, difference, 0.1)
    assert row.fault() == fault
    assert table.failures([row]) == ([row] if fault else [])


def test_a_runtime_that_did_not_run_fails_unless_it_may_be_missing() -> None:
    missing = table.Row("runtime", "", "all", error="there is no python", is_missing=True)
    broken = table.Row("other", "1.0", "task", cosine=1.0, difference=0.0, error="ValueError: shape")
    assert table.failures([missing, broken]) == [missing, broken]
    assert table.failures([missing, broken], allow_missing=True) == [broken]


def test_the_table_has_a_line_for_each_row_and_marks_what_failed() -> None:
    rows = [
        table.Row("one", "1.0", "encoder", "float32", 0.9999996, 2.5e-7, 3.04),
        table.Row("two", "2.0", "tokens", "tokens", None, 3.0, 0.02),
        table.Row("three", "", "all", error="no python", is_missing=True),
    ]
    assert table.render(rows).split("\n") == [
        "| runtime | version | task | precision | cosine | difference | seconds |  |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| one | 1.0 | encoder | float32 | 1.000000 | 2.5e-07 | 3.0 |  |",
        "| two | 2.0 | tokens | tokens |  | 3 | 0.0 | **above 0** |",
        "| three |  | all | float32 |  |  |  | **not run: no python** |",
    ]


def test_the_summary_has_the_worst_of_each_runtime_and_precision() -> None:
    rows = [
        table.Row("one", "1.0", "encoder", "float32", 1.0, 2e-7, 1.0),
        table.Row("one", "1.0", "masked_lm", "float32", 0.99991, 4e-7, 2.0),
        table.Row("one", "1.0", "encoder", "int8", 0.995, 2e-2, 0.5),
        table.Row("one", "1.0", "masked_lm", "int8", 0.98, 1e-2, 0.5),
    ]
    assert table.summarize(rows).split("\n")[2:] == [
        "| one | 1.0 | 2 | float32 | 0.999910 | 4.0e-07 | 3.0 |  |",
        "| one | 1.0 | 2 | int8 | 0.980000 | 2.0e-02 | 1.0 | **failed: below 0.99** |",
    ]


def test_a_probe_takes_numbers_that_are_not_finite_or_misshapen_for_no_result() -> None:
    assert probing.agreement(np.array([3.0, 4.0]), np.array([4.0, 3.0])) == pytest.approx((0.96, 0.25))
    for wrong in (np.array([1.0, np.nan]), np.array([1.0, np.inf]), np.array([1.0])):
        with pytest.raises(ValueError, match="torch"):
            probing.agreement(wrong, np.array([1.0, 2.0]))


def test_the_card_and_the_page_have_the_rows_of_one_record() -> None:
    card = json.loads((ROOT / "hub_release" / "card" / "runtimes.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "runtimes.md").read_text(encoding="utf-8")
    assert len(card["rows"]) > 10 and f"benchmarks/{card['date']}-runtimes.md" in page
    for row in card["rows"]:
        line = next(
            line
            for line in page.split("\n")
            if line.startswith(f"| {row['runtime']} | {row['version']} |") and f"| {row['precision']} |" in line
        )
        assert f"| {row['cosine']:.6f} | {row['difference']:.1e} |" in line

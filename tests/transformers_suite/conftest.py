"""Marks of Transformers' tests, and a count of what each family ran and skipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator

import pytest

# Marks in the common tests of Transformers, unknown to this project's strict list.
THEIR_MARKS = (
    "slow",
    "accelerate_tests",
    "flash_attn_test",
    "flash_attn_3_test",
    "flash_attn_4_test",
    "torch_compile_test",
)
OURS, THEIRS = "TestChineseModernBert", "TestModernBert"
# How often a test was skipped, by family and name: once, or once for each model class that it goes through.
SKIPS = pytest.StashKey[dict[str, Counter[str]]]()
SEEN = pytest.StashKey[dict[str, set[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    for mark in THEIR_MARKS:
        config.addinivalue_line("markers", f"{mark}: of Transformers' own tests")
    config.stash[SKIPS] = {family: Counter() for family in (OURS, THEIRS)}
    config.stash[SEEN] = {family: set() for family in (OURS, THEIRS)}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if isinstance(item, pytest.Function) and item.cls is not None and (report.when == "call" or report.skipped):
        item.config.stash[SEEN][item.cls.__name__].add(item.name)
        item.config.stash[SKIPS][item.cls.__name__][item.name] += report.skipped
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for family, seen in config.stash[SEEN].items():
        skipped = sum(1 for count in config.stash[SKIPS][family].values() if count)
        line = f"{family}: {len(seen)} tests, {skipped} of them skipped, some for each model class by itself"
        terminalreporter.write_line(line)


@pytest.fixture
def skipped_for_ours_alone(request: pytest.FixtureRequest) -> set[str]:
    """Names of tests that skipped more model classes of our family than of ModernBERT's, so far in this session.

    A skip within a loop over the classes does not skip the test as a whole, so that the skips are counted.
    """
    ours, theirs = (request.config.stash[SKIPS][family] for family in (OURS, THEIRS))
    return {name for name in request.config.stash[SEEN][THEIRS] if ours[name] > theirs[name]}

"""Marks of Transformers' tests, and a note of what each family skipped."""

from __future__ import annotations

from collections.abc import Generator

import pytest

# Marks in the common tests of Transformers, unknown to this project's strict list.
THEIR_MARKS = ("accelerate_tests", "flash_attn_test", "flash_attn_3_test", "flash_attn_4_test", "torch_compile_test")
SKIPPED = pytest.StashKey[dict[str, set[str]]]()
RAN = pytest.StashKey[dict[str, set[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    for mark in THEIR_MARKS:
        config.addinivalue_line("markers", f"{mark}: of Transformers' own tests")
    config.stash[SKIPPED], config.stash[RAN] = {}, {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if isinstance(item, pytest.Function) and item.cls is not None:
        family, key = item.cls.__name__, SKIPPED if report.skipped else RAN
        if report.when == "call" or report.skipped:
            item.config.stash[key].setdefault(family, set()).add(item.name)
    return report


@pytest.fixture
def skipped_for_ours_alone(request: pytest.FixtureRequest) -> set[str]:
    """Names of tests that were skipped for our family and ran for ModernBERT, so far in this session."""
    stash = request.config.stash
    return stash[SKIPPED].get("TestChineseModernBert", set()) & stash[RAN].get("TestModernBert", set())

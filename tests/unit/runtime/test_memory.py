"""Freed memory is kept where the C library can, and the user's own choice stands."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from chinese_modernbert.runtime import memory

FAULTS = """
import resource, sys
from chinese_modernbert.runtime.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def use():  # nine blocks of 1 to 65 MiB, freed at once
    blocks = [bytearray(size << 20) for size in range(1, 66, 8)]
    del blocks
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

# Products of 100 sizes, twice; oneDNN tells of each whether it had it. torch was imported before, as in a command.
PRODUCTS = """
import sys, torch
from chinese_modernbert.runtime.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
layer = torch.nn.Linear(64, 64).bfloat16()
with torch.no_grad():
    for tokens in [*range(100, 200)] * 2:
        layer(torch.zeros(tokens, 64, dtype=torch.bfloat16))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is what is asked")
def test_onednn_forgets_the_products_of_texts_long_past() -> None:
    unset = (*memory.VARIABLES, memory.PRODUCTS_KEPT)
    environment = {name: value for name, value in os.environ.items() if name not in unset} | {"ONEDNN_VERBOSE": "2"}
    found = {}
    for choice in ("keep", "leave"):
        command = [sys.executable, "-c", PRODUCTS, choice]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        if "create:cache_miss" not in said:
            pytest.skip("this torch gives such products to another library, or oneDNN does not tell of them")
        found[choice] = said.count("create:cache_hit")
    assert found == {"keep": 0, "leave": 100}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is what is asked")
def test_memory_that_was_used_once_is_used_again() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in memory.VARIABLES}
    pages = {}
    for choice in ("keep", "give back"):
        command = [sys.executable, "-c", FAULTS, choice]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        pages[choice] = int(done.stdout)
    assert pages["keep"] < pages["give back"] / 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is what is asked")
@pytest.mark.parametrize("chosen", [None, "7"])
def test_fewer_compiled_products_are_kept_unless_the_environment_says_how_many(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in memory.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv(memory.PRODUCTS_KEPT, raising=False)
    if chosen is not None:
        monkeypatch.setenv(memory.PRODUCTS_KEPT, chosen)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *_: 1, gnu_get_libc_version=0))
    assert memory.keep_freed_memory()
    assert os.environ[memory.PRODUCTS_KEPT] == (chosen or memory.MOST_PRODUCTS)


@pytest.mark.parametrize("name", memory.VARIABLES)
def test_a_choice_in_the_environment_stands(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert not memory.keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in memory.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert not memory.keep_freed_memory()

"""What a run computes with: refused before it starts where it cannot, and kept by a run that goes on."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from chinese_modernbert.modeling.products_chinese_modernbert import products, set_products
from chinese_modernbert.trainers.pretraining import arguments as machine


@pytest.fixture(autouse=True)
def products_by_rule() -> Iterator[None]:
    yield
    set_products("auto")


def arguments(**changed: Any) -> Any:
    values = {"compile_layers": True, "torch_compile": False, "cpu_products": "auto", "device": torch.device("cpu")}
    return SimpleNamespace(**{**values, **changed})


def test_layers_are_compiled_only_where_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ValueError, match=r"compile_layers needs a C\+\+ compiler on a CPU, and none of g\+\+"):
        machine.check_compiling(arguments())
    machine.check_compiling(arguments(compile_layers=False))
    machine.check_compiling(arguments(device=torch.device("cuda")))
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}" if name == "clang++" else None)
    machine.check_compiling(arguments())
    with pytest.raises(ValueError, match="compile_layers and torch_compile are both true; set one"):
        machine.check_compiling(arguments(torch_compile=True))


@pytest.mark.parametrize("recorded", ["torch", "onednn"])
def test_a_run_that_goes_on_keeps_its_library(recorded: str) -> None:
    assert machine.choose_products(arguments(), recorded) == products() == recorded
    assert machine.choose_products(arguments(cpu_products="torch"), recorded) == "torch"
    assert machine.choose_products(arguments()) == set_products("auto")
    with pytest.raises(ValueError, match="products='mkl' is unknown"):
        machine.choose_products(arguments(cpu_products="mkl"))

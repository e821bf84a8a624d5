"""Runs with compiled layers: losses of plain ones, exact in resume; and products that go on as they were."""

import json
import shutil
from pathlib import Path

import pytest

from chinese_modernbert.modeling.products_chinese_modernbert import set_products
from chinese_modernbert.trainers.pretraining.log import read_training_log
from chinese_modernbert.trainers.pretraining.run import run_pretraining
from reference.pretraining_run import Run, assert_same_weights, run_until


def losses(output: str | None) -> list[float]:
    return [line["loss"] for line in read_training_log(str(output)) if "loss" in line]


@pytest.mark.skipif(not shutil.which("g++"), reason="a C++ compiler makes the graphs")
@pytest.mark.parametrize("bf16", [False, True])
def test_compiled_layers_train_alike_and_exactly_in_resume(make_run: Run, bf16: bool) -> None:
    plain, compiled = (make_run(f"compiled-{how}", compile_layers=how, bf16=bf16) for how in (False, True))
    run_pretraining(plain)
    expected = run_pretraining(compiled)
    assert losses(compiled.output_dir) == pytest.approx(losses(plain.output_dir), rel=2e-2)
    run_until(5, make_run("compiled-broken", compile_layers=True, bf16=bf16))
    again = make_run("compiled-broken", compile_layers=True, bf16=bf16, resume="auto")
    assert_same_weights(expected, run_pretraining(again))
    with pytest.raises(ValueError, match="cannot go on exactly under other settings: compile_layers"):
        run_pretraining(make_run("compiled-broken", bf16=bf16, resume="auto"))


def test_a_run_goes_on_with_the_products_that_it_began_with(make_run: Run) -> None:
    other = "torch" if set_products("auto") == "onednn" else "onednn"  # not what this machine would choose
    try:
        expected = run_pretraining(make_run("straight-products", cpu_products=other))
        run_until(5, make_run("broken-products", cpu_products=other))
        again = make_run("broken-products", resume="auto")
        folder = run_pretraining(again)
        assert_same_weights(expected, folder)
        assert json.loads((Path(folder) / "pretraining.json").read_text(encoding="utf-8"))["cpu_products"] == other
        refused = make_run("broken-products", cpu_products=set_products("auto"), resume="auto")
        with pytest.raises(ValueError, match="cannot go on exactly under other settings: cpu_products"):
            run_pretraining(refused)
    finally:
        set_products("auto")

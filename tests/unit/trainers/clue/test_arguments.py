from pathlib import Path

import pytest

from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.trainers.clue.arguments import GRID, ClueArguments


def options(*words: str) -> ClueArguments:
    (found,) = load_recipe([ClueArguments], None, ["--model", "m", "--use_cpu", "--output_dir", "o", *words])
    return found


def test_tasks_are_named_with_commas_or_spaces_or_not_at_all() -> None:
    assert [task.name for task in options("--tasks", "tnews,afqmc").chosen_tasks()] == ["tnews", "afqmc"]
    assert [task.name for task in options("--tasks", "tnews", "afqmc").chosen_tasks()] == ["tnews", "afqmc"]
    assert len(options().chosen_tasks()) == len(options("--tasks", "all").chosen_tasks()) == 12


def test_grid_and_seeds_are_read_from_the_command_line() -> None:
    assert options("--grid").learning_rates == list(GRID)
    assert options("--grid", "--learning_rates", "1e-5", "3e-5").learning_rates == [1e-5, 3e-5]
    assert (options("--seeds", "3").seeds, options("--grid").grid, options().grid) == (3, True, False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "0"], r"seeds=0 is not a number in \[1, inf\)"),
        (["--folds", "1"], r"folds=1 is not a number in \[2, inf\)"),
        (["--layer_decay", "1.5"], r"layer_decay=1.5 is not a number in \(0, 1\]"),
        (["--select_on", "test"], "not one of fold, dev"),
        (["--grid", "--learning_rates", "0"], r"learning_rates=0.0 is not a number in \(0, inf\)"),
        (["--learning_rates", "1e-5"], "grid is off; add --grid"),
        (["--grid", "--learning_rate", "1e-5"], "learning_rate=1e-05 is not read with grid"),
        (["--lora_alpha", "8"], "lora_alpha=8 is not read without an adapter; give --lora_rank too"),
        (["--eval_strategy", "no"], "eval_strategy.*scored after every epoch"),
        (["--save_strategy", "epoch"], "save_strategy.*use --save_model"),
        (["--remove_unused_columns", "true"], "remove_unused_columns.*is not read here"),
        (["--eval_delay", "2"], "eval_delay.*is not read here"),
    ],
)
def test_an_option_out_of_range_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options(*words)


def test_a_model_must_be_named() -> None:
    with pytest.raises(ValueError, match="add --model"):
        load_recipe([ClueArguments], None, ["--use_cpu", "--output_dir", "o"])


def test_an_explanation_needs_a_task_with_classes() -> None:
    assert len(options("--explain", "2").chosen_tasks()) == 12
    with pytest.raises(ValueError, match="explain=2 needs a classification"):
        options("--tasks", "c3,cluener", "--explain", "2").chosen_tasks()


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown task 'tnws'"):
        options("--tasks", "tnws").chosen_tasks()
    with pytest.raises(ValueError, match="named twice"):
        options("--tasks", "tnews,tnews").chosen_tasks()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{afqcm: ocnli}", "train_from names 'afqcm', which is not one of the chosen tasks: afqmc, ocnli"),
        ("{cmnli: ocnli}", "train_from names 'cmnli', which is not one of the chosen tasks"),
        ("{afqmc: ocnl}", "train_from takes rows of 'ocnl', which is not one of afqmc, tnews"),
        ("{afqmc: [ocnli, cmnl]}", "train_from takes rows of 'cmnl'"),
    ],
)
def test_a_wrong_name_in_train_from_is_refused(written: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options("--tasks", "afqmc,ocnli", "--train_from", written).chosen_tasks()


def test_train_from_takes_one_name_or_several() -> None:
    found = options("--tasks", "cmnli,ocnli", "--train_from", "{cmnli: ocnli, ocnli: [cmnli]}")
    assert [task.name for task in found.lenders("cmnli")] == ["ocnli"]
    assert [task.name for task in found.lenders("ocnli")] == ["cmnli"]
    assert options().lenders("afqmc") == []


def test_the_folder_of_data_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHINESE_MODERNBERT_DATA", "/somewhere")
    assert options().data_folder == str(Path("/somewhere/clue"))
    assert options("--data", "x").data_folder == "x"
    monkeypatch.delenv("CHINESE_MODERNBERT_DATA")
    with pytest.raises(ValueError, match="add --data"):
        _ = options().data_folder


def test_the_shipped_recipe_is_read() -> None:
    (found,) = load_recipe([ClueArguments], "clue", ["--model", "m", "--use_cpu", "--output_dir", "o"])
    assert (found.grid, found.seeds, found.select_on) == (True, 3, "fold")


def test_tasks_of_clue_and_their_data_are_refused_beside_a_task_of_ones_own() -> None:
    with pytest.raises(ValueError, match="tasks=tnews beside task_file is not read; give one of them"):
        options("--task_file", "mine.yaml", "--tasks", "tnews")
    with pytest.raises(ValueError, match="data='x' is not read beside task_file"):
        options("--task_file", "mine.yaml", "--data", "x")

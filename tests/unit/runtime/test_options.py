from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from transformers import TrainingArguments

from chinese_modernbert.runtime.options import describe_arguments, find_recipe, load_recipe, parse_overrides


@dataclass
class Part:
    length: int
    theta: float | None = None


@dataclass
class Settings:
    corpus: list[str]
    rate: float = 0.1
    steps: int = 5
    fast: bool = False
    mode: Literal["a", "b"] = "a"
    name: str | None = None
    parts: list[Part] = field(default_factory=list)
    options: dict | None = None


@dataclass
class Other:
    steps: int = 1
    where: str = "here"


def recipe(folder: Path, text: str) -> Path:
    file = folder / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_values_take_the_types_of_the_fields(tmp_path: Path) -> None:
    file = recipe(
        tmp_path,
        "corpus: [a, b]\nrate: 1e-4\nsteps: 1_000\nfast: yes\nmode: b\nname: null\n"
        "parts:\n  - {length: 4, theta: 1e4}\n  - length: 8\noptions: {x: 1}\n",
    )
    (settings,) = load_recipe([Settings], file)
    parts = [Part(4, 10000.0), Part(8)]
    assert settings == Settings(["a", "b"], 1e-4, 1000, True, "b", None, parts, {"x": 1})


def test_the_command_line_wins_over_the_recipe(tmp_path: Path) -> None:
    file = recipe(tmp_path, "corpus: [a]\nsteps: 3\nrate: 0.5\n")
    words = ["--steps", "20", "--fast", "--corpus", "x", "y", "--parts", "[{length: 2}]", "--name=n"]
    (settings,) = load_recipe([Settings], file, words)
    assert settings == Settings(["x", "y"], 0.5, 20, True, name="n", parts=[Part(2)])


def test_a_key_goes_to_every_dataclass_that_has_it() -> None:
    settings, other = load_recipe([Settings, Other], None, {"corpus": "a", "steps": 7, "where": "there"})
    assert (settings.steps, other) == (7, Other(7, "there"))


def test_an_unknown_key_is_one_line_with_key_file_and_nearest_key(tmp_path: Path) -> None:
    file = recipe(tmp_path, "corpus: [a]\nstepz: 3\n")
    with pytest.raises(ValueError, match=rf"^unknown key 'stepz' in {file}; did you mean 'steps'\?$"):
        load_recipe([Settings], file)


def test_an_unknown_key_of_a_nested_list_names_the_list(tmp_path: Path) -> None:
    file = recipe(tmp_path, "corpus: [a]\nparts: [{lengths: 3}]\n")
    with pytest.raises(ValueError, match="unknown key 'lengths' in parts of .*did you mean 'length'"):
        load_recipe([Settings], file)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("steps: many", "steps='many' .* not of type int"),
        ("steps: 2.5", "steps=2.5 .* not of type int"),
        ("steps: true", "steps=True .* not of type int"),
        ("fast: perhaps", "fast='perhaps' .* not of type bool"),
        ("rate: [1]", r"rate=\[1\] .* not of type float"),
        ("mode: c", "mode='c' .* not one of a, b"),
        ("options: 3", "options=3 .* not a mapping"),
        ("name: ${NO_SUCH_VARIABLE_HERE}", "NO_SUCH_VARIABLE_HERE.* not set"),
    ],
)
def test_a_value_of_the_wrong_type_names_key_value_and_type(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_recipe([Settings], recipe(tmp_path, f"corpus: [a]\n{line}\n"))


def test_a_missing_required_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gives no 'corpus', which Settings needs"):
        load_recipe([Settings], recipe(tmp_path, "steps: 3\n"))


@pytest.mark.parametrize(("text", "message"), [("- a\n", "mapping of field names"), ("a: [", "is not YAML")])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_recipe([Settings], recipe(tmp_path, text))


def test_environment_variables_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUS_FOLDER", "/data")
    (settings,) = load_recipe([Settings], None, {"corpus": ["${CORPUS_FOLDER}/a.txt"]})
    assert settings.corpus == ["/data/a.txt"]


def test_a_word_without_an_option_is_refused() -> None:
    with pytest.raises(ValueError, match="'stray' belongs to no option"):
        parse_overrides(["stray", "--steps", "3"])


def test_negative_numbers_are_values_not_options() -> None:
    assert parse_overrides(["--max-steps", "-1", "--rate=-2"]) == {"max_steps": "-1", "rate": "-2"}


def test_the_library_own_training_arguments_can_be_loaded(tmp_path: Path) -> None:
    words = ["--output_dir", str(tmp_path), "--warmup_steps", "0.1", "--use_cpu", "--learning_rate", "3e-4"]
    (arguments,) = load_recipe([TrainingArguments], None, words)
    assert (arguments.learning_rate, arguments.warmup_steps, arguments.use_cpu) == (3e-4, 0.1, True)


def test_an_unknown_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(FileNotFoundError, match="no_such_recipe"):
        find_recipe("no_such_recipe")


def test_help_names_every_field() -> None:
    text = describe_arguments([Settings], "command")
    assert all(f"--{name}" in text for name in ("corpus", "rate", "steps", "fast", "mode"))


@pytest.mark.parametrize(
    ("written", "steps"),
    [("1.5e3", 1500), ("2.0e6", 2_000_000), ("1e3", 1000), ("7.0", 7), ("9007199254740993", 9007199254740993)],
)
def test_whole_numbers_may_be_written_with_an_exponent(written: str, steps: int) -> None:
    assert load_recipe([Settings], None, {"corpus": "a", "steps": written})[0].steps == steps


@pytest.mark.parametrize("written", ["1.5", "1e-3", "inf", "nan", "many"])
def test_what_is_no_whole_number_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is not of type int"):
        load_recipe([Settings], None, {"corpus": "a", "steps": written})


def test_an_option_without_its_value_is_no_text_and_none_is_given_twice() -> None:
    with pytest.raises(ValueError, match="name=True in the command line is not text"):
        load_recipe([Settings], None, ["--corpus", "a", "--name", "--fast"])
    with pytest.raises(ValueError, match="--corpus is given twice"):
        parse_overrides(["--corpus", "a", "--corpus", "b"])

"""From recipes and command lines to dataclasses; the outside oracle of texts and numbers is what was written."""

import copy
import pickle
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from transformers import TrainingArguments

from chinese_modernbert.runtime.help import WIDTH, describe_options
from chinese_modernbert.runtime.options import (
    LibraryOptions,
    accepted_names,
    argument,
    load_recipe,
    own_names,
    parse_overrides,
    recorded_options,
    refuse_idle_options,
)
from chinese_modernbert.runtime.recipes import find_recipe


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
    texts: list[str] = field(default_factory=list)
    tasks: list[str] = argument(list, "Names.", names=True)
    rates: list[float] = field(default_factory=list)


@dataclass
class Library:
    size: int = 1
    kind: str = "linear"
    color: str = "red"

    def __post_init__(self) -> None:
        self.color = self.color.upper()


@dataclass
class Extended(Library):
    library_options: ClassVar[LibraryOptions] = LibraryOptions({"color": "paint"}, {"kind": "use --schedule"})
    schedule: str = argument("flat", "Schedule.", group="Own")
    size: int = argument(2, "Size.")

    def __post_init__(self) -> None:
        refuse_idle_options(self)
        super().__post_init__()


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


def test_environment_variables_are_filled_into_recipes_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORPUS_FOLDER", "/data")
    text = "corpus: ['${CORPUS_FOLDER}/a.txt', '$${CORPUS_FOLDER}/b.txt']\noptions: {x: '${CORPUS_FOLDER}'}\n"
    (settings,) = load_recipe([Settings], recipe(tmp_path, text))
    assert settings.corpus == ["/data/a.txt", "${CORPUS_FOLDER}/b.txt"] and settings.options == {"x": "/data"}
    (settings,) = load_recipe([Settings], None, ["--corpus", "${CORPUS_FOLDER}/a.txt", "--name", "${NO_SUCH}"])
    assert (settings.corpus, settings.name) == (["${CORPUS_FOLDER}/a.txt"], "${NO_SUCH}")


@pytest.mark.parametrize(
    "text", ["[完结]小说.txt", "[MASK]是首都", "[1]", "{a: 1}", "甲,乙", "{", "- x", "null ", "1e5"]
)
def test_text_stays_text(text: str) -> None:
    words = ["--corpus", text, "--name", text, "--texts", text, text]
    (settings,) = load_recipe([Settings], None, words)
    assert (settings.corpus, settings.name, settings.texts) == ([text], text, [text, text])


@pytest.mark.parametrize("words", [["tnews,ocnli"], ["tnews", "ocnli"], ["tnews,", "ocnli"], ["[tnews, ocnli]"]])
def test_lists_of_names_take_commas_and_blanks_alike(words: list[str], tmp_path: Path) -> None:
    assert load_recipe([Settings], None, ["--corpus", "a", "--tasks", *words])[0].tasks == ["tnews", "ocnli"]
    file = recipe(tmp_path, "corpus: a\ntasks: tnews,ocnli\n")
    assert load_recipe([Settings], file)[0].tasks == ["tnews", "ocnli"]


@pytest.mark.parametrize("words", [["1e-5,2e-5"], ["1e-5", "2e-5"], ["[1e-5, 2e-5]"]])
def test_lists_of_numbers_do_too(words: list[str]) -> None:
    assert load_recipe([Settings], None, ["--corpus", "a", "--rates", *words])[0].rates == [1e-5, 2e-5]


def test_exponents_in_mappings_are_numbers(tmp_path: Path) -> None:
    expected = {"low": 0.01, "steps": 2000, "half": 500, "deep": [{"rate": -1.5e-4}], "name": "e5", "hash": "12ef"}
    text = "{low: 1e-2, steps: 2e3, half: .5e3, deep: [{rate: -1.5e-4}], name: e5, hash: 12ef}"
    for settings in (
        load_recipe([Settings], recipe(tmp_path, f"corpus: a\noptions: {text}\n"))[0],
        load_recipe([Settings], None, ["--corpus", "a", "--options", text])[0],
    ):
        assert settings.options == expected and isinstance(settings.options["steps"], int)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("corpus: a\nsteps: 1\nrate: 0.5\nsteps: 2\n", r"recipe.yaml:4: 'steps' is given twice, first in line 2"),
        ("corpus: a\nparts:\n  - {length: 1,\n     length: 2}\n", r"recipe.yaml:4: 'length' is given twice"),
    ],
)
def test_a_key_that_is_given_twice_is_named_by_file_and_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load_recipe([Settings], recipe(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_mapping_of_the_command_line_has_no_key_twice_either() -> None:
    with pytest.raises(ValueError, match="options=.*'x' is given twice"):
        load_recipe([Settings], None, ["--corpus", "a", "--options", "{x: 1, x: 2}"])


@pytest.mark.parametrize(
    ("words", "fast"), [(["--fast"], True), (["--no_fast"], False), (["--no-fast"], False), (["--fast", "no"], False)]
)
def test_switches_can_be_denied(words: list[str], fast: bool, tmp_path: Path) -> None:
    file = recipe(tmp_path, f"corpus: a\nfast: {not fast}\n")
    assert load_recipe([Settings], file, words)[0].fast is fast


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--no_fast", "--fast"], "--fast is given and denied"),
        (["--no_fast", "true"], "--no_fast takes no value"),
        (["--no_slow"], "unknown key 'no_slow'"),
        (["--no_steps"], "steps=False .* not of type int"),
    ],
)
def test_what_cannot_be_denied_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_recipe([Settings], None, ["--corpus", "a", *words])


def test_names_of_other_programs_lead_to_ours() -> None:
    for other, ours in {"model_name_or_path": "model", "max_seq_length": "max_length", "train_file": "corpus"}.items():
        kind = dataclass(
            type("Kind", (), {"__annotations__": {ours: str, "elsewhere": str}, ours: "", "elsewhere": ""})
        )
        with pytest.raises(ValueError, match=f"unknown key '{other}' .* did you mean '{ours}'"):
            load_recipe([kind], None, [f"--{other}", "x"])
    with pytest.raises(ValueError, match="unknown key 'do_train' .* leave it out"):
        load_recipe([Settings], None, ["--do_train"])


def test_a_field_of_the_library_acts_or_is_refused_with_what_to_use(tmp_path: Path) -> None:
    assert accepted_names(Extended) == {"schedule", "size", "color"} and own_names(Extended) == ["schedule", "size"]
    assert load_recipe([Extended], None, ["--color", "blue"])[0].color == "BLUE"
    for given in (["--kind", "cosine"], ["--kind", "linear"]):
        with pytest.raises(ValueError, match="'kind' in the command line is not read here: use --schedule"):
            load_recipe([Extended], None, given)
    with pytest.raises(ValueError, match=r"'kind' in .*recipe.yaml is not read here: use --schedule"):
        load_recipe([Extended], recipe(tmp_path, "kind: cosine\n"))
    with pytest.raises(ValueError, match="^kind is not read here: use --schedule"):
        Extended(kind="cosine")
    assert Extended(kind="linear").kind == "linear"


def test_only_what_acts_and_was_changed_is_recorded() -> None:
    changed = Extended(schedule="steep", color="blue")
    changed.kind = "cosine"
    assert recorded_options(changed, Extended()) == {"color": "BLUE", "schedule": "steep"}
    assert recorded_options(changed, Extended(), ["color"]) == {"schedule": "steep"}


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


def test_help_names_every_option_with_its_default_in_few_columns() -> None:
    lines = describe_options(Settings, "command", "do something.").split("\n")
    assert max(map(len, lines)) <= WIDTH
    starts = {line.split()[0] for line in lines if line.startswith("  --")}
    assert {f"--{one.name}" for one in fields(Settings)} <= starts
    assert any("--rate N" in line and line.endswith("Default: 0.1.") for line in lines)
    assert any("--mode a|b" in line for line in lines) and any("Required." in line for line in lines)


def test_help_shows_fields_of_the_library_behind_our_own() -> None:
    text = describe_options(Extended, "command", "do.")
    assert "Own\n  --schedule TEXT" in text and "--size N" in text
    ours, theirs = text.split("Fields of the library that act here")
    assert "--color" not in ours and "--kind" not in ours
    assert "--color TEXT" in theirs and "use --schedule" in theirs
    assert "--help_all" in describe_options(Other, "command", "do.", has_more=True)


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


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "MY_TOKEN", "my_token", "WANDB_API_KEY", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY"]
)
def test_a_secret_of_the_environment_is_refused_without_its_value(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "a-secret-value")
    (tmp_path / "recipe.yaml").write_text(f"name: x-${{{name}}}\n")
    with pytest.raises(ValueError, match="by its name a secret") as raised:
        load_recipe([Settings], tmp_path / "recipe.yaml")
    assert "a-secret-value" not in str(raised.value)


def test_what_a_recipe_takes_from_the_environment_is_written_down_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENIZER", "/home/me/tokenizer")
    monkeypatch.setenv("NUMBER", "7")
    text = (
        "name: ${TOKENIZER}\ncorpus: [a.txt, '${TOKENIZER}/b']\noptions: {x: {y: '${TOKENIZER}'}}\nsteps: ${NUMBER}\n"
    )
    (tmp_path / "recipe.yaml").write_text(text)
    (settings,) = load_recipe([Settings], tmp_path / "recipe.yaml")
    assert settings.name == "/home/me/tokenizer" and settings.corpus[1] == "/home/me/tokenizer/b"
    for one in (settings, copy.deepcopy(settings), pickle.loads(pickle.dumps(settings))):
        told = recorded_options(one, Settings(corpus=[]))
        assert told["name"] == "${TOKENIZER}" and told["corpus"] == ["a.txt", "${TOKENIZER}/b"]
        assert told["options"] == {"x": {"y": "${TOKENIZER}"}} and told["steps"] == 7  # a number acts as it is

"""`push` is the only road to the Hub, and no command asks on a terminal whether a folder's code may run."""

import ast
import builtins
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainingArguments

from chinese_modernbert.modeling import ChineseModernBertForMaskedLM
from chinese_modernbert.modeling.loading import own_config
from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.tokenization.loading import load_tokenizer
from chinese_modernbert.trainers.clue.arguments import ClueArguments
from chinese_modernbert.trainers.contrastive.arguments import ContrastiveArguments
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments

ROOT = Path(__file__).parents[2]
ROOMS = ("runtime", "modeling", "tokenization", "evaluation", "trainers", "hub_release", "demo")
COMMANDS = (PretrainingArguments, ClueArguments, ContrastiveArguments)
# What of a library's options sends something to the Hub, by the beginnings of their names.
ROADS = ("hub_", "push_", "trackio_")
SENDING = {"push_to_hub", "upload_folder", "upload_file", "create_repo", "create_commit", "HfApi", "save_to_hub"}
# Called with a name or folder, these ask about code unless they are told.
LOADING = {"SentenceTransformer", "SparseEncoder", "CrossEncoder", "pipeline"}
# It runs in a process without a keyboard, after the folder was checked, to see that nothing is asked.
ASKING = ("hub_release/verification/isolated_check.py", "nothing_is_asked")


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield file, function and call, of every call in the library."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(function, ast.FunctionDef):
                    name = path.relative_to(ROOT).as_posix()
                    yield from ((name, function.name, one) for one in ast.walk(function) if isinstance(one, ast.Call))


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.__name__)
def test_every_option_that_sends_to_the_hub_is_refused_and_its_value_not_repeated(kind: type) -> None:
    names = [field.name for field in dataclasses.fields(kind) if field.name.startswith(ROADS)]
    assert {"push_to_hub", "hub_token", "hub_model_id", "hub_always_push"} <= set(names)
    for name in names:
        with pytest.raises(ValueError, match=f"'{name}' in .*not read here") as raised:
            load_recipe([kind], None, [f"--{name}", "a-secret"])
        assert "a-secret" not in str(raised.value)
    for name in ("hub_token", "hub_model_id"):
        with pytest.raises(ValueError, match="^hub_.* is not read here") as raised:
            kind(output_dir="unused", **{name: "a-secret"})
        assert "a-secret" not in str(raised.value)


def test_the_library_itself_would_have_taken_them() -> None:
    assert "hub_token" in {field.name for field in dataclasses.fields(TrainingArguments)}


def test_only_push_calls_what_sends() -> None:
    names = {(file, one.func.attr) for file, _, one in calls() if isinstance(one.func, ast.Attribute)}
    names |= {(file, one.func.id) for file, _, one in calls() if isinstance(one.func, ast.Name)}
    assert {file for file, name in names if name in SENDING} == {"hub_release/upload/push.py"}


def test_every_load_says_whether_code_may_run() -> None:
    silent = []
    for file, function, one in calls():
        called = one.func
        is_auto = (
            isinstance(called, ast.Attribute)
            and called.attr == "from_pretrained"
            and not (isinstance(called.value, ast.Name) and called.value.id.startswith("ChineseModernBert"))
        )
        is_loader = isinstance(called, ast.Name) and called.id in LOADING
        given = {keyword.arg for keyword in one.keywords}
        # Modules that are loaded already, or options that hold it, need no word here.
        is_told = bool(given & {"trust_remote_code", "modules", "model_kwargs"})
        if (is_auto or is_loader) and not is_told and (file, function) != ASKING:
            silent.append(f"{file}: {function}: {ast.unparse(one)[:80]}")
    # Classes of Transformers' own, and of ours through a variable, have no code to ask about.
    known = (
        "PeftModel.from_pretrained",
        "ModernBertModel.from_pretrained",
        "model_class.from_pretrained",
        "ChineseModernBert",
    )
    assert [line for line in silent if not any(name in line for name in known)] == []


@pytest.fixture
def foreign_checkpoint(saved_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkpoint that names other code for everything, with a terminal that nobody may be asked on."""
    folder = Path(shutil.copytree(saved_checkpoint, tmp_path / "foreign"))
    for name, known in (("config.json", "AutoModel"), ("tokenizer_config.json", "AutoTokenizer")):
        set_keys(folder / name, auto_map={known: ["other.Thing", None] if known == "AutoTokenizer" else "other.Thing"})
    (folder / "other.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))

    def asked(*_: object) -> str:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr(builtins, "input", asked)
    return folder


def set_keys(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def test_a_foreign_tokenizer_and_model_are_loaded_without_a_question(foreign_checkpoint: Path) -> None:
    assert load_tokenizer(foreign_checkpoint).mask_token == "[MASK]"
    assert own_config(str(foreign_checkpoint)) is not None
    assert ChineseModernBertForMaskedLM.from_pretrained(foreign_checkpoint).config.hidden_size == 32


@pytest.mark.parametrize("name", ["_attn_implementation", "_attn_implementation_internal", "hidden_size"])
def test_an_alias_in_a_configuration_is_refused_before_it_names_a_kernel(name: str, foreign_checkpoint: Path) -> None:
    set_keys(foreign_checkpoint / "config.json", attribute_map={"foo": name}, foo="owner/kernel")
    for load in (own_config, ChineseModernBertForMaskedLM.from_pretrained):
        with pytest.raises(ValueError, match="attribute_map=.*call every field by its own name"):
            load(str(foreign_checkpoint))


@pytest.mark.parametrize(
    "overrides",
    [
        {"_attn_implementation": "owner/kernel"},
        {"attn_implementation": "owner/kernel"},
        {"_experts_implementation": "owner/kernel"},
        {"auto_map": {"AutoModel": "owner/name--m.Model"}},
        {"attribute_map": {"foo": "_attn_implementation"}},
        {"_name_or_path": "owner/name"},
        {"to_dict": 1},
    ],
    ids=lambda overrides: next(iter(overrides)),
)
def test_overrides_of_a_new_model_are_fields_and_nothing_else(
    overrides: dict[str, Any], saved_checkpoint: Path
) -> None:
    from chinese_modernbert.trainers.pretraining.run import _model_config

    tokenizer = load_tokenizer(saved_checkpoint)
    arguments: Any = SimpleNamespace(model="tiny", model_overrides={**overrides, "hidden_size": 32})
    with pytest.raises(ValueError, match=f"has no such field of the configuration: {next(iter(overrides))}$"):
        _model_config(arguments, tokenizer)

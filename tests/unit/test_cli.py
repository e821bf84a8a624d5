"""The console script: every command's help and options, and what the commands share."""

import ast
import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sentence_transformers
import transformers
from sentence_transformers.base.training_args import BaseTrainingArguments
from transformers import TrainingArguments

from chinese_modernbert import cli
from chinese_modernbert.commands import COMMANDS
from chinese_modernbert.evaluation.clue.own_tasks import OwnTask
from chinese_modernbert.runtime.options import accepted_names, own_names
from chinese_modernbert.tokenization.loading import load_tokenizer, tokenizer_hash
from chinese_modernbert.trainers.contrastive.options import ContrastiveStage
from chinese_modernbert.trainers.data.arguments import Stage

ROOT = Path(__file__).parents[2]
# Lines of a command's own help; two screens of 50 lines for the longest.
MOST_LINES = 110
LIBRARIES = {
    "pretrain": TrainingArguments,
    "clue": TrainingArguments,
    "spell train": TrainingArguments,
    "sts": BaseTrainingArguments,
    "retrieval": BaseTrainingArguments,
}


def options_of(command: str) -> Any:
    return cli.imported(COMMANDS[command].arguments)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "corpus.txt"
    file.write_text("老虎是哺乳动物。\n\n北京是中国的首都。\n", encoding="utf-8")
    return file


def test_without_a_tokenizer_prepare_takes_the_shipped_one(corpus: Path, tmp_path: Path) -> None:
    words = ["prepare", "--corpus", str(corpus), "--output_dir", str(tmp_path / "shards"), "--prepare_workers", "0"]
    assert cli.main(words) == 0
    manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text(encoding="utf-8"))
    shipped = load_tokenizer(cli.SHIPPED_TOKENIZER)
    assert manifest["tokenizer_hash"] == tokenizer_hash(shipped)
    assert manifest["documents"] == 2


@pytest.mark.parametrize("command", ["prepare", "pretrain"])
@pytest.mark.parametrize("words", [[], ["--tokenizer", "mine"]])
def test_a_tokenizer_that_is_given_wins(
    command: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    modules = {"prepare": "data.prepare.run_prepare", "pretrain": "pretraining.run.run_pretraining"}
    monkeypatch.setattr(f"chinese_modernbert.trainers.{modules[command]}", lambda args: seen.append(args) or "done")
    cpu = ["--output_dir", str(tmp_path), "--use_cpu"] if command == "pretrain" else []
    assert cli.main([command, *cpu, *words]) == 0
    assert seen[0].tokenizer == (words[1] if words else str(cli.SHIPPED_TOKENIZER))


def test_report_measures_the_shipped_tokenizer_where_none_is_named(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tokenizer", "report", "--corpus", str(corpus), "--output_dir", str(tmp_path / "report")]
    assert cli.main(words) == 0
    assert "characters per token" in capsys.readouterr().out
    assert {file.name for file in (tmp_path / "report").iterdir()} == {"report.txt", "report.json", "report.png"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_short_help_and_a_long_one(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command.split(), "--help"]) == 0
    short = capsys.readouterr().out
    assert cli.main([*command.split(), "--help_all"]) == 0
    long = capsys.readouterr().out
    own, lines = own_names(options_of(command)), short.split("\n")
    assert len(lines) <= MOST_LINES and max(map(len, lines)) <= 100
    assert all(f"--{name}" in short or f"--[no_]{name}" in short for name in own)
    assert all(f"--{name}" in long for name in accepted_names(options_of(command)) - set(own))
    assert (len(long) > len(short)) == (command in LIBRARIES)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_help_text_and_every_row_names_a_function(command: str) -> None:
    kind, run = options_of(command), cli.imported(COMMANDS[command].run)
    helped = {field.name for field in dataclasses.fields(kind) if field.metadata.get("help")}
    assert set(own_names(kind)) <= helped
    assert len(inspect.signature(run).parameters) >= 1
    first, tokenizer = COMMANDS[command].first, COMMANDS[command].tokenizer
    assert {first, tokenizer} - {None} <= set(own_names(kind))


@pytest.mark.parametrize("command", LIBRARIES)
def test_the_short_help_has_all_own_options(command: str) -> None:
    row = COMMANDS[command]
    assert row.own_options is not None
    assert own_names(cli.imported(row.own_options)) == own_names(options_of(command))


@pytest.mark.parametrize("command", LIBRARIES)
@pytest.mark.parametrize(
    "words", ["gradient_accumulation_steps=0", "max_steps=1e30", "adam_beta1=1", "weight_decay=-1", "max_grad_norm=nan"]
)
def test_numbers_of_the_library_have_ranges_too(command: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, f"--{words}", "--use_cpu", "--output_dir=unused"]) == cli.USER_ERROR
    assert f"{words.partition('=')[0]}=" in capsys.readouterr().err.split("is not a number in ")[0]


def test_no_command_needs_torch_or_transformers_for_its_help() -> None:
    code = (
        "import sys; from chinese_modernbert import cli; "
        "[cli.main([*command.split(), '--help']) for command in cli.COMMANDS]; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "datasets"} & set(done.stdout.split("\n")[-2].split())


@pytest.mark.parametrize(
    ("command", "option", "keys"),
    [("clue", "task_file", OwnTask), ("sts", "stages", ContrastiveStage), ("pretrain", "stages", Stage)],
)
def test_the_keys_of_a_task_and_of_a_stage_stand_in_the_help_and_in_the_docs(
    command: str, option: str, keys: type, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, "--help"]) == 0
    section = capsys.readouterr().out.split(f"Keys of {option}", 1)[1]
    page = "".join((ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("evaluation", "pretraining"))
    for field in dataclasses.fields(keys):
        assert field.name in section.split("Other options")[0] and f"`{field.name}`" in page


def test_the_list_of_commands_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "name", "rest"),
    [
        (["tokenizer", "--corpus", "a"], "tokenizer train", ["--corpus", "a"]),
        (["tokenizer", "train", "--corpus", "a"], "tokenizer train", ["--corpus", "a"]),
        (["tokenizer", "extend", "--tokens", "a"], "tokenizer extend", ["--tokens", "a"]),
        (["pretrain", "--data", "a"], "pretrain", ["--data", "a"]),
        (["pretrain", "plot", "run1", "run2"], "pretrain plot", ["run1", "run2"]),
        (["pretrain", "run"], "pretrain run", []),
        (["push", "release", "--public"], "push", ["release", "--public"]),
        (["pretrian"], "pretrian", []),
    ],
)
def test_a_command_is_one_word_or_two(words: list[str], name: str, rest: list[str]) -> None:
    assert cli.split_command(words) == (name, rest)


@pytest.mark.parametrize("words", [["pretrain", "run"], ["tokenizer", "reports"], ["pretrian", "--help"]])
def test_an_unknown_command_is_one_line_with_the_nearest(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "unknown command" in line and ("pretrain" in line or "tokenizer report" in line)


def test_a_recipe_is_given_once(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--config", "a", "--config", "b"], ["--config=a", "--config", "b"], ["--config", "a", "--config=a"]):
        assert cli.main(["pretrain", *words]) == 2
        assert "--config is given twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("pretrain --lr_scheduler_type cosine", "use --lr_schedule"),
        ("pretrain --optim adafactor", "use --optimizer"),
        ("pretrain --resume_from_checkpoint x", "use --resume"),
        ("pretrain --num_train_epochs 3", "use --max_tokens or --max_steps"),
        ("pretrain --per_device_train_batch_size 8", "use --tokens_per_micro_batch"),
        ("pretrain --remove_unused_columns true", "leave it out"),
        ("pretrain --do_train", "the command trains"),
        ("pretrain --push_to_hub", "command push"),
        ("pretrain --group_by_length", "--seed"),
        ("pretrain --model_name_or_path base", "did you mean 'model'"),
        ("clue --max_seq_length 64", "did you mean 'max_length'"),
        ("clue --save_steps 5", "use --save_model"),
        ("clue --load_best_model_at_end", "the best epoch is always taken"),
        ("spell train --eval_steps 3", "the threshold is fitted after every epoch"),
        ("spell train --dataloader_num_workers 2", "in the training process"),
        ("sts --num_train_epochs 3", "use epochs of a stage"),
        ("sts --eval_steps 3", "name sets for it, such as --retrieval"),
        ("prepare --dataset_name x", "did you mean 'dataset'"),
        ("prepare --train_file x", "did you mean 'corpus'"),
        ("mask --preset bert_wwm", "did you mean 'masking'"),
        ("release --checkpoint x", "did you mean 'model'"),
    ],
)
def test_options_of_other_programs_lead_to_ours(words: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line


@pytest.mark.parametrize("command", LIBRARIES)
def test_every_field_of_the_library_is_own_or_acts_or_is_refused(command: str) -> None:
    kind, library = options_of(command), {field.name for field in dataclasses.fields(LIBRARIES[command])}
    accepted, table = accepted_names(kind), kind.library_options
    assert library <= accepted | table.refused.keys()
    assert not accepted & table.refused.keys()
    assert accepted == {*own_names(kind), *table.acting}
    assert table.acting.keys() <= library and all(table.acting.values()) and all(table.refused.values())
    named = {word.strip(",.;") for hint in table.refused.values() for word in hint.split() if word.startswith("--")}
    others = {"--repo_id", "--revision", "--public"}  # of the command push
    assert {word.removeprefix("--") for word in named - others} <= accepted


def names_read(files: list[Path]) -> set[str]:
    """Return every attribute and every text that stands in some source files."""
    found: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_every_accepted_option_is_read_somewhere() -> None:
    """An option that no code reads cannot act: each is looked for in the code of those who declare it."""
    declaring = ("arguments.py", "options.py", "training_arguments.py")
    rooms = ("tokenization", "evaluation", "trainers", "hub_release", "demo")
    files = [file for room in rooms for file in (ROOT / room).rglob("*.py") if file.name not in declaring]
    files += [ROOT / room / "arguments.py" for room in ("tokenization", "hub_release", "demo")]
    files += [ROOT / "trainers" / room / "arguments.py" for room in ("data", "clue")]
    ours = names_read(files)
    home, sentences = Path(transformers.__file__).parent, Path(sentence_transformers.__file__).parent
    files = [home / name for name in ("trainer.py", "trainer_callback.py", "trainer_optimizer.py", "training_args.py")]
    files += [home / "integrations" / "integration_utils.py", sentences / "base" / "trainer.py"]
    theirs = names_read([file for file in files if file.is_file()])
    for command in COMMANDS:
        kind = options_of(command)
        library = {field.name for field in dataclasses.fields(LIBRARIES[command])} if command in LIBRARIES else set()
        unread = {name for name in accepted_names(kind) if name not in (ours | theirs if name in library else ours)}
        assert not unread, command


def test_a_command_that_runs_a_model_keeps_freed_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept: list[bool] = []
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: kept.append(True))
    assert cli.main(["pretrain", "--output_dir", str(tmp_path / "run")]) != 0  # without data
    assert kept
    kept.clear()
    assert cli.main(["verify", str(tmp_path)]) != 0
    assert not kept


def test_an_interrupted_command_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", lambda *words: interrupted(words))
    assert cli.main(["mask", "--text", "北京"]) == 130
    expected = "chinese-modernbert: mask was interrupted; the same command goes on where it keeps what is done"
    assert capsys.readouterr().err.split("\n") == ["", expected, ""]

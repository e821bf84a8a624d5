"""Bad input through the console script: exit code 2, one line that names the fault, and nothing written is lost."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from transformers import BertConfig, BertForMaskedLM

from chinese_modernbert.cli import main

GOOD = [{"text": f"第{i}条：老虎生活在森林里，共有{i * 37 % 101}只。北京有{i}条大街。"} for i in range(120)]
TOKENIZER = ["--vocab_size", "330"]

Complaint = Callable[..., str]


def write_lines(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return path


def as_lines(rows: list[dict[str, str]]) -> list[str]:
    return [json.dumps(row, ensure_ascii=False) for row in rows]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a good corpus, tokenizer, shards and checkpoint, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("work")
    corpus = str(write_lines(folder / "corpus.jsonl", as_lines(GOOD)))
    assert main(["tokenizer", "--corpus", corpus, "--output_dir", f"{folder}/tokenizer", *TOKENIZER]) == 0
    options = ["--tokenizer", f"{folder}/tokenizer", "--prepare_workers", "0"]
    assert main(["prepare", "--corpus", corpus, "--output_dir", f"{folder}/shards", *options]) == 0
    assert main(["pretrain", *pretraining(folder), "--output_dir", f"{folder}/run"]) == 0
    return folder


def pretraining(folder: Path, shards: Path | None = None, tokenizer: str | Path | None = None) -> list[str]:
    """Return the words of a short run on what `work` made, or on other shards or with another tokenizer."""
    words = "--config pretrain_smoke --max_steps 8 --save_strategy no --eval_strategy no --report_to none"
    chosen = {"--data": shards or folder / "shards", "--tokenizer": tokenizer or folder / "tokenizer"}
    return [*words.split(), *(str(word) for option in chosen.items() for word in option)]


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Complaint:
    """Return what a failing command says: its one line on standard error."""

    def run(*words: object) -> str:
        capsys.readouterr()
        code = main([str(word) for word in words])
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("chinese-modernbert")]
        assert code == 2, (code, lines)
        assert len(lines) == 1, lines
        return lines[0]

    return run


BAD_CORPORA: dict[str, tuple[list[str], str]] = {
    "empty": ([], "corpus.jsonl"),
    "broken JSON": ([*as_lines(GOOD[:2]), '{"text": "断了'], "corpus.jsonl:3"),
    "missing field": ([*as_lines(GOOD[:1]), '{"content": "没有正文"}'], "corpus.jsonl:2"),
    "field that is no text": ([*as_lines(GOOD[:1]), '{"text": 7}'], "corpus.jsonl:2"),
    "lone surrogate": ([*as_lines(GOOD[:3]), '{"text": "坏\\ud800字"}'], "corpus.jsonl:4"),
}


@pytest.mark.parametrize("name", BAD_CORPORA)
@pytest.mark.parametrize("command", ["tokenizer", "prepare"])
def test_a_bad_corpus_is_named_by_file_and_line(
    command: str, name: str, work: Path, tmp_path: Path, complaint: Complaint
) -> None:
    lines, place = BAD_CORPORA[name]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    made = tmp_path / "made"
    words = {
        "tokenizer": ["--corpus", corpus, "--output_dir", made, *TOKENIZER],
        "prepare": [
            "--corpus",
            corpus,
            "--output_dir",
            made,
            "--tokenizer",
            work / "tokenizer",
            "--prepare_workers",
            0,
        ],
    }[command]
    assert place in complaint(command, *words)
    # `prepare` goes on where it stopped and so leaves its settings; neither leaves half a result.
    assert set(snapshot(made)) == ({"prepare.json"} if command == "prepare" else set())
    write_lines(corpus, as_lines(GOOD))
    assert main([command, *map(str, words)]) == 0  # mended, the same command does its work


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16"])
@pytest.mark.parametrize("command", ["tokenizer", "tokenizer report", "prepare", "mask"])
def test_a_corpus_in_another_encoding_is_named_by_file_and_line(
    command: str, encoding: str, work: Path, tmp_path: Path, complaint: Complaint
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_bytes("".join(f"{line}\n" for line in as_lines(GOOD[:3])).encode(encoding))
    words = {
        "tokenizer": ["--output_dir", tmp_path / "made", *TOKENIZER],
        "tokenizer report": ["--output_dir", tmp_path / "made", "--tokenizers", work / "tokenizer"],
        "prepare": ["--output_dir", tmp_path / "made", "--tokenizer", work / "tokenizer", "--prepare_workers", 0],
        "mask": ["--tokenizer", work / "tokenizer", "--picture", tmp_path / "made.png"],
    }[command]
    said = complaint(*command.split(), "--corpus", corpus, *words)
    assert "corpus.jsonl:1 is not UTF-8" in said
    assert f"iconv -f {encoding} " in said


@pytest.mark.parametrize("suffix", ["gz", "zst", "xz", "bz2"])
@pytest.mark.parametrize("reader", ["corpus", "dataset"])
def test_a_truncated_archive_is_named(
    reader: str, suffix: str, work: Path, tmp_path: Path, complaint: Complaint
) -> None:
    corpus = tmp_path / f"cut.txt.{suffix}"
    pack = {"gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress, "xz": lzma.compress, "bz2": bz2.compress}
    whole = pack[suffix]("\n\n".join(as_lines(GOOD)).encode())
    corpus.write_bytes(whole[: len(whole) // 2])
    words = ["--corpus", corpus] if reader == "corpus" else ["--dataset", "text", "--dataset_files", corpus]
    said = complaint("prepare", *words, "--output_dir", tmp_path / "made", "--tokenizer", work / "tokenizer")
    assert f"cut.txt.{suffix}" in said if reader == "corpus" else "the data set text" in said
    assert "its end is missing" in said
    assert set(snapshot(tmp_path / "made")) == {"prepare.json"}


@pytest.mark.parametrize("length", [1, 1_000_000])
def test_documents_of_any_length_are_prepared(length: int, work: Path, tmp_path: Path) -> None:
    text = ("老虎生活在森林里。" * (length // 9 + 1))[:length]
    corpus = write_lines(tmp_path / "corpus.jsonl", as_lines([{"text": text}]))
    options = ["--tokenizer", f"{work}/tokenizer", "--prepare_workers", "0"]
    assert main(["prepare", "--corpus", str(corpus), "--output_dir", str(tmp_path / "made"), *options]) == 0


def test_a_vocabulary_larger_than_the_corpus_gives_is_refused(work: Path, tmp_path: Path, complaint: Complaint) -> None:
    said = complaint(
        "tokenizer", "--corpus", work / "corpus.jsonl", "--output_dir", tmp_path / "t", "--vocab_size", 32768
    )
    assert "32768" in said.replace(",", "")
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--config", "no_such_recipe"], "pretrain_smoke"),
        (["--config", "pretrain_smoke", "--learning_rates", "1"], "learning_rate"),
        (["--config", "pretrain_smoke", "--max_steps", "many"], "max_steps"),
        (["--config", "pretrain_smoke", "--data", "/no/such/folder", "--output_dir", "x"], "/no/such/folder"),
    ],
)
def test_a_wrong_option_is_named(words: list[str], wanted: str, complaint: Complaint) -> None:
    assert wanted in complaint("pretrain", *words)


def test_a_recipe_with_an_unknown_key_names_file_and_key(tmp_path: Path, complaint: Complaint) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("masking_rate: 0.15\nmax_stepz: 5\n", encoding="utf-8")
    said = complaint("pretrain", "--config", recipe)
    assert "mine.yaml" in said
    assert "did you mean" in said


def test_shards_of_another_tokenizer_are_refused(work: Path, tmp_path: Path, complaint: Complaint) -> None:
    options = ["--corpus", f"{work}/corpus.jsonl", "--output_dir", f"{tmp_path}/other", "--vocab_size", "320"]
    assert main(["tokenizer", *options]) == 0
    said = complaint("pretrain", *pretraining(work, tokenizer=tmp_path / "other"), "--output_dir", tmp_path / "r")
    assert "prepared with another tokenizer" in said
    counted = ["--masking", "weighted_sampling", "--data", work / "shards"]
    said = complaint("mask", "--text", "老虎", "--tokenizer", tmp_path / "other", *counted)
    assert "prepared with another tokenizer" in said


def test_a_tokenizer_that_is_not_the_models_is_refused(work: Path, tmp_path: Path, complaint: Complaint) -> None:
    corpus, other = f"{work}/corpus.jsonl", f"{tmp_path}/other"
    # More text and other characters: other tokens have the ids of the model's own.
    (tmp_path / "other.txt").write_text(
        "\n\n".join("龙飞凤舞九霄云外山高水长" * n for n in range(1, 40)), encoding="utf-8"
    )
    words = ["--corpus", corpus, f"{tmp_path}/other.txt", "--output_dir", other, "--vocab_size", "400"]
    assert main(["tokenizer", *words]) == 0
    options = ["--tokenizer", other, "--prepare_workers", "0"]
    assert main(["prepare", "--corpus", corpus, "--output_dir", f"{tmp_path}/shards", *options]) == 0
    checkpoint = shutil.copytree(work / "run" / "final", tmp_path / "checkpoint")
    shutil.copytree(other, checkpoint, dirs_exist_ok=True)
    words = pretraining(work, tmp_path / "shards", other)
    wrong = ["--model", work / "run" / "final", "--model_overrides", "{}"]
    assert "tokens have other ids" in complaint("pretrain", *words, *wrong, "--output_dir", tmp_path / "run")
    said = complaint("release", "--model", checkpoint, "--output_dir", tmp_path / "release")
    assert "but the tokenizer has 400 tokens" in said
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "release").exists()


def test_a_truncated_shard_is_named(work: Path, tmp_path: Path, complaint: Complaint) -> None:
    shards = tmp_path / "shards"
    for name, content in snapshot(work / "shards").items():
        (shards / name).parent.mkdir(parents=True, exist_ok=True)
        (shards / name).write_bytes(content)
    largest = max(shards.rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    largest.write_bytes(largest.read_bytes()[:-2])
    said = complaint("pretrain", *pretraining(work, shards), "--output_dir", tmp_path / "run")
    assert largest.name in said


@pytest.fixture(scope="module")
def plain_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of another model type."""
    folder = tmp_path_factory.mktemp("plain_bert") / "bert"
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForMaskedLM(BertConfig(vocab_size=64, **sizes)).save_pretrained(folder)
    return folder


def test_a_checkpoint_of_another_model_is_refused(
    work: Path, plain_bert: Path, tmp_path: Path, complaint: Complaint
) -> None:
    said = complaint("pretrain", *pretraining(work), "--model", plain_bert, "--output_dir", tmp_path / "run")
    assert "bert" in said
    said = complaint(
        "release", "--model", plain_bert, "--tokenizer", work / "tokenizer", "--output_dir", tmp_path / "r"
    )
    assert "bert" in said
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("command", ["tokenizer", "prepare", "pretrain", "release"])
def test_a_folder_that_holds_something_else_is_left_alone(
    command: str, work: Path, tmp_path: Path, complaint: Complaint
) -> None:
    taken = tmp_path / "taken"
    write_lines(taken / "thesis.txt", ["三年的工作"])
    before = snapshot(tmp_path)
    corpus = work / "corpus.jsonl"
    words = {
        "tokenizer": ["--corpus", corpus, "--output_dir", taken, *TOKENIZER],
        "prepare": ["--corpus", corpus, "--tokenizer", work / "tokenizer", "--output_dir", taken],
        "pretrain": [*pretraining(work), "--output_dir", taken],
        "release": ["--model", work / "run" / "final", "--output_dir", taken],
    }[command]
    for overwrite in ([], ["--overwrite"] if command in ("prepare", "release") else []):
        assert "taken" in complaint(command, *words, *overwrite)
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("command", ["tokenizer", "prepare", "pretrain", "release"])
def test_what_a_command_has_made_is_kept_until_overwriting_is_asked_for(
    command: str, work: Path, tmp_path: Path, complaint: Complaint
) -> None:
    corpus = work / "corpus.jsonl"
    made = {"tokenizer": work / "tokenizer", "prepare": work / "shards", "pretrain": work / "run"}.get(command)
    if made is None:
        made = tmp_path / "release"
        assert main(["release", "--model", f"{work}/run/final", "--output_dir", str(made)]) == 0
    other = ["--shard_characters", 1_000_000]  # with the settings of before, `prepare` would find nothing left to do
    words = {
        "tokenizer": ["--corpus", corpus, "--output_dir", made, *TOKENIZER],
        "prepare": ["--corpus", corpus, "--tokenizer", work / "tokenizer", "--output_dir", made, *other],
        "pretrain": [*pretraining(work), "--output_dir", made],
        "release": ["--model", work / "run" / "final", "--output_dir", made],
    }[command]
    before = snapshot(made)
    assert made.name in complaint(command, *words)
    assert snapshot(made) == before

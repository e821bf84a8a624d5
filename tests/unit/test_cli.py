import json
from pathlib import Path
from typing import Any

import pytest

from chinese_modernbert import cli
from chinese_modernbert.tokenization.loading import load_tokenizer, tokenizer_hash


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

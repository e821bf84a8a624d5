"""Fixtures of a small corpus and a tokenizer trained on it, for the tests of `prepare`."""

import dataclasses
import json
from pathlib import Path

import pytest

from chinese_modernbert.tokenization import TokenizerArguments, run_tokenizer_training
from chinese_modernbert.trainers.data.arguments import PrepareArguments


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return [
        f"第{i}条：老虎是一种哺乳动物，生活在森林里，共有{i * 37}只。The tiger number {i}.\n它爱吃肉。"
        for i in range(60)
    ]


@pytest.fixture(scope="session")
def corpus(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for name, part in (("one", texts[:40]), ("two", [*texts[40:], ""])):
        lines = [json.dumps({"text": text, "site": f"site{len(text) % 2}"}, ensure_ascii=False) for text in part]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tokenizer_folder(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    settings = TokenizerArguments(corpus=[str(corpus)], output_dir=str(folder), vocab_size=384)
    return str(run_tokenizer_training(settings))


@pytest.fixture
def arguments(corpus: Path, tokenizer_folder: str, tmp_path: Path) -> PrepareArguments:
    return PrepareArguments(
        corpus=[str(corpus)],
        tokenizer=tokenizer_folder,
        output_dir=str(tmp_path / "shards"),
        shard_characters=700,
        prepare_workers=0,
    )


@pytest.fixture
def many(arguments: PrepareArguments, tmp_path: Path, texts: list[str]) -> PrepareArguments:
    """Arguments of a run of a few hundred shards."""
    rows = [f"{number} {text}" for number in range(60) for text in texts]
    (tmp_path / "many.jsonl").write_text("\n".join(json.dumps({"text": row}) for row in rows), encoding="utf-8")
    return dataclasses.replace(arguments, corpus=[str(tmp_path / "many.jsonl")])

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from chinese_modernbert.tokenization import (
    TokenizerArguments,
    encode_documents,
    load_segmenter,
    load_tokenizer,
    run_tokenizer_training,
    tokenizer_hash,
)
from chinese_modernbert.trainers.prepare import PrepareArguments, expand_patterns, run_prepare
from chinese_modernbert.trainers.shards import TokenShards

TEXTS = [
    f"第{i}条：老虎是一种哺乳动物，生活在森林里，共有{i * 37}只。The tiger number {i}.\n它爱吃肉。" for i in range(60)
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for name, part in (("one", TEXTS[:40]), ("two", [*TEXTS[40:], ""])):
        lines = [json.dumps({"text": text}, ensure_ascii=False) for text in part]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tokenizer_folder(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    settings = TokenizerArguments(corpus=[str(corpus)], output_dir=str(folder), vocab_size=384)
    return str(run_tokenizer_training(settings))


@pytest.fixture
def arguments(corpus: Path, tokenizer_folder: str, tmp_path: Path) -> PrepareArguments:
    return PrepareArguments(
        corpus=[str(corpus)],
        tokenizer=tokenizer_folder,
        data_dir=str(tmp_path / "shards"),
        shard_characters=700,
        prepare_workers=0,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_shards_hold_what_encoding_the_texts_gives(arguments: PrepareArguments) -> None:
    tokenizer: PreTrainedTokenizerFast = load_tokenizer(arguments.tokenizer)
    shards = TokenShards(run_prepare(arguments), tokenizer_hash(tokenizer), check_hashes=True)
    expected = encode_documents(tokenizer, load_segmenter(), TEXTS)
    assert len(shards) == len(TEXTS)
    for index, document in enumerate(expected):
        assert np.array_equal(shards[index].input_ids, document.input_ids)
        assert np.array_equal(shards[index].word_starts, document.word_starts)


def test_the_manifest_counts_documents_tokens_and_characters_by_source(arguments: PrepareArguments) -> None:
    shards = TokenShards(run_prepare(arguments))
    manifest = shards.manifest
    assert manifest["documents"] == 60
    assert manifest["tokens"] == int(shards.lengths.sum()) == int(shards.token_counts().sum())
    assert {name: counts["documents"] for name, counts in manifest["sources"].items()} == {"one": 40, "two": 20}
    assert manifest["sources"]["one"]["characters"] == sum(map(len, TEXTS[:40]))
    assert [shards.source_names[n] for n in shards.source_of] == ["one"] * 40 + ["two"] * 20
    assert len(manifest["shards"]) > 3


def test_two_processes_write_the_same_bytes_as_one(arguments: PrepareArguments, tmp_path: Path) -> None:
    alone = contents(run_prepare(arguments))
    arguments.prepare_workers, arguments.data_dir = 2, str(tmp_path / "pool")
    assert contents(run_prepare(arguments)) == alone


def test_an_interrupted_run_keeps_finished_shards_and_redoes_broken_ones(arguments: PrepareArguments) -> None:
    folder = run_prepare(arguments)
    whole = contents(folder)
    (folder / "manifest.json").unlink()
    (folder / "shard-00001.json").unlink()
    (folder / "shard-00002.ids.bin").write_bytes(b"broken")
    kept = (folder / "shard-00000.ids.bin").stat().st_mtime_ns
    assert contents(run_prepare(arguments)) == whole
    assert (folder / "shard-00000.ids.bin").stat().st_mtime_ns == kept


def test_changed_text_is_encoded_again(arguments: PrepareArguments, corpus: Path, tmp_path: Path) -> None:
    copy = tmp_path / "text.jsonl"
    copy.write_text(json.dumps({"text": TEXTS[0]}, ensure_ascii=False), encoding="utf-8")
    arguments.corpus = [str(copy)]
    first = TokenShards(run_prepare(arguments))[0].input_ids.tolist()
    copy.write_text(json.dumps({"text": TEXTS[1]}, ensure_ascii=False), encoding="utf-8")
    assert TokenShards(run_prepare(arguments))[0].input_ids.tolist() != first


def test_shards_of_a_longer_corpus_do_not_stay_behind(arguments: PrepareArguments, corpus: Path) -> None:
    folder = run_prepare(arguments)
    arguments.corpus = [str(corpus / "one.jsonl")]
    run_prepare(arguments)
    named = {entry["name"] for entry in json.loads((folder / "manifest.json").read_text())["shards"]}
    assert {path.name.split(".")[0] for path in folder.glob("shard-*")} == named


def test_other_settings_need_overwrite(arguments: PrepareArguments) -> None:
    run_prepare(arguments)
    arguments.segmenter = "none"
    with pytest.raises(FileExistsError, match=r"other settings \(segmenter\); add --overwrite"):
        run_prepare(arguments)
    arguments.overwrite = True
    shards = TokenShards(run_prepare(arguments))
    assert shards.manifest["configuration"]["segmenter"] == "none"


def test_a_folder_of_other_things_is_left_alone(arguments: PrepareArguments) -> None:
    folder = Path(arguments.data_dir)
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    arguments.overwrite = True
    with pytest.raises(FileExistsError, match="not a prepared corpus"):
        run_prepare(arguments)
    assert (folder / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["corpus", "tokenizer", "data_dir"])
def test_a_missing_argument_is_named(arguments: PrepareArguments, name: str) -> None:
    setattr(arguments, name, type(getattr(arguments, name))())
    with pytest.raises(ValueError, match=f"{name} is not given"):
        run_prepare(arguments)


def test_broken_text_is_reported_with_file_and_line(arguments: PrepareArguments, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "好"}\n{"text": \n', encoding="utf-8")
    arguments.corpus = [str(broken)]
    with pytest.raises(ValueError, match=r"broken.jsonl:2"):
        run_prepare(arguments)


def test_patterns_are_expanded_in_order_and_must_match(corpus: Path) -> None:
    assert expand_patterns([str(corpus / "*.jsonl")]) == [str(corpus / "one.jsonl"), str(corpus / "two.jsonl")]
    with pytest.raises(FileNotFoundError, match="no file matches"):
        expand_patterns([str(corpus / "*.parquet")])

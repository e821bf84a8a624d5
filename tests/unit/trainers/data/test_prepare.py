import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from chinese_modernbert.runtime import threads
from chinese_modernbert.tokenization import (
    TextDocument,
    encode_documents,
    load_segmenter,
    load_tokenizer,
    tokenizer_hash,
)
from chinese_modernbert.trainers.data import prepare
from chinese_modernbert.trainers.data.arguments import PrepareArguments
from chinese_modernbert.trainers.data.prepare import run_prepare
from chinese_modernbert.trainers.data.shards import TokenShards


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_shards_hold_what_encoding_the_texts_gives(arguments: PrepareArguments, texts: list[str]) -> None:
    tokenizer: PreTrainedTokenizerFast = load_tokenizer(arguments.tokenizer)
    shards = TokenShards(run_prepare(arguments), tokenizer_hash(tokenizer), check_hashes=True)
    expected = encode_documents(tokenizer, load_segmenter(), texts)
    assert len(shards) == len(texts)
    for index, document in enumerate(expected):
        assert np.array_equal(shards[index].input_ids, document.input_ids)
        assert np.array_equal(shards[index].word_starts, document.word_starts)


def test_the_manifest_counts_documents_tokens_and_characters_by_source(
    arguments: PrepareArguments, texts: list[str]
) -> None:
    shards = TokenShards(run_prepare(arguments))
    manifest = shards.manifest
    assert manifest["documents"] == 60
    assert manifest["tokens"] == int(shards.lengths.sum()) == int(shards.token_counts().sum())
    assert {name: counts["documents"] for name, counts in manifest["sources"].items()} == {"one": 40, "two": 20}
    assert manifest["sources"]["one"]["characters"] == sum(map(len, texts[:40]))
    assert [shards.source_names[n] for n in shards.source_of] == ["one"] * 40 + ["two"] * 20
    assert len(manifest["shards"]) > 3


def test_an_interrupted_run_keeps_finished_shards_and_redoes_broken_ones(arguments: PrepareArguments) -> None:
    folder = run_prepare(arguments)
    whole = contents(folder)
    (folder / "manifest.json").unlink()
    (folder / "shard-00001.json").unlink()
    (folder / "shard-00002.ids.bin").write_bytes(b"broken")
    kept = (folder / "shard-00000.ids.bin").stat().st_mtime_ns
    assert contents(run_prepare(arguments)) == whole
    assert (folder / "shard-00000.ids.bin").stat().st_mtime_ns == kept


def test_changed_text_is_encoded_again(
    arguments: PrepareArguments, corpus: Path, tmp_path: Path, texts: list[str]
) -> None:
    copy = tmp_path / "text.jsonl"
    copy.write_text(json.dumps({"text": texts[0]}, ensure_ascii=False), encoding="utf-8")
    arguments.corpus = [str(copy)]
    first = TokenShards(run_prepare(arguments))[0].input_ids.tolist()
    copy.write_text(json.dumps({"text": texts[1]}, ensure_ascii=False), encoding="utf-8")
    assert TokenShards(run_prepare(arguments))[0].input_ids.tolist() != first


def test_shards_of_a_longer_corpus_do_not_stay_behind(arguments: PrepareArguments, corpus: Path) -> None:
    folder = run_prepare(arguments)
    arguments.corpus = [str(corpus / "one.jsonl")]
    run_prepare(arguments)
    named = {entry["name"] for entry in json.loads((folder / "manifest.json").read_text())["shards"]}
    assert {path.name.split(".")[0] for path in folder.glob("shard-*")} == named


def test_lines_of_a_text_file_are_documents_where_it_is_asked_for(arguments: PrepareArguments, tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("".join(f"今天天气很好，我们去公园散步{i}。\n" for i in range(9)), encoding="utf-8")
    arguments.corpus = [str(file)]
    assert len(TokenShards(run_prepare(arguments))) == 1
    arguments.lines = True
    with pytest.raises(FileExistsError, match="lines was not recorded, is True"):
        run_prepare(arguments)
    arguments.overwrite = True
    assert len(TokenShards(run_prepare(arguments))) == 9
    arguments.corpus, arguments.dataset = [], "json"
    with pytest.raises(ValueError, match="lines is for .txt files of corpus"):
        arguments.check()


def test_other_settings_need_overwrite(arguments: PrepareArguments) -> None:
    run_prepare(arguments)
    arguments.segmenter = "none"
    with pytest.raises(FileExistsError, match=r"other settings: segmenter was '\w+', is '\w+'; add --overwrite"):
        run_prepare(arguments)
    arguments.overwrite = True
    shards = TokenShards(run_prepare(arguments))
    assert shards.manifest["configuration"]["segmenter"] == "none"


def test_a_folder_of_other_things_is_left_alone(arguments: PrepareArguments) -> None:
    folder = Path(arguments.output_dir)
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    arguments.overwrite = True
    with pytest.raises(FileExistsError, match="not a prepared corpus"):
        run_prepare(arguments)
    assert (folder / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["corpus", "tokenizer", "output_dir"])
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


def test_a_data_set_gives_the_same_shards_as_its_files(
    arguments: PrepareArguments, corpus: Path, tmp_path: Path
) -> None:
    by_files = TokenShards(run_prepare(arguments))
    arguments.corpus, arguments.dataset, arguments.output_dir = [], str(corpus), str(tmp_path / "streamed")
    by_stream = TokenShards(run_prepare(arguments))
    assert len(by_stream) == len(by_files)
    for index in range(len(by_files)):
        assert np.array_equal(by_stream[index].input_ids, by_files[index].input_ids)
        assert np.array_equal(by_stream[index].word_starts, by_files[index].word_starts)
    assert by_stream.source_names == [corpus.name]


def test_a_field_can_name_the_source(arguments: PrepareArguments, texts: list[str]) -> None:
    arguments.source_field = "site"
    shards = TokenShards(run_prepare(arguments))
    assert [shards.source_names[n] for n in shards.source_of] == [f"site{len(text) % 2}" for text in texts]


def test_a_source_field_with_too_many_values_is_refused(
    arguments: PrepareArguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "MAXIMUM_SOURCES", 9)
    arguments.source_field = "text"
    with pytest.raises(
        ValueError, match=r"source_field='text' gives more than 9 sources by .*one.jsonl:10; name a field"
    ):
        run_prepare(arguments)


def test_more_files_than_sources_are_refused_before_reading_and_folders_can_name_the_sources(
    arguments: PrepareArguments, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, text in enumerate(texts):
        folder = tmp_path / "texts" / f"part{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    arguments.corpus, arguments.output_dir = [str(tmp_path / "texts")], str(tmp_path / "shards")
    monkeypatch.setattr(prepare, "MAXIMUM_SOURCES", 9)
    with pytest.raises(
        ValueError, match=f"{len(texts)} files would be as many sources, and 9 may be; add --folder_sources"
    ):
        run_prepare(arguments)
    assert not (tmp_path / "shards").exists()
    arguments.folder_sources = True
    shards = TokenShards(run_prepare(arguments))
    numbers = sorted(range(len(texts)), key=lambda number: (f"part{number % 3}", f"{number}.txt"))
    assert [shards.source_names[n] for n in shards.source_of] == [f"part{number % 3}" for number in numbers]
    arguments.folder_sources = False
    monkeypatch.setattr(prepare, "MAXIMUM_SOURCES", 10_000)
    with pytest.raises(FileExistsError, match="other settings: .*folder_sources"):
        run_prepare(arguments)
    monkeypatch.setattr(prepare, "MAXIMUM_SOURCES", 2)
    arguments.folder_sources, arguments.overwrite = True, True
    with pytest.raises(ValueError, match=r"folder_sources gives more than 2 sources by .*part2"):
        run_prepare(arguments)


@pytest.mark.parametrize("keys", [{"source_field": "site"}, {"corpus": [], "dataset": "json"}])
def test_folders_name_no_sources_beside_a_field_or_of_a_data_set(
    arguments: PrepareArguments, keys: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="folder_sources is"):
        dataclasses.replace(arguments, folder_sources=True, **keys).check()


def test_no_more_workers_are_started_than_there_are_cores(
    arguments: PrepareArguments, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started = []

    @contextlib.contextmanager
    def pool(workers: int) -> Iterator[Any]:
        started.append(workers)
        yield lambda function, items: ((item, function(item)) for item in items)

    monkeypatch.setattr(prepare, "_worker_pool", pool)
    monkeypatch.setattr(threads, "usable_cores", lambda: 2)
    caplog.set_level("INFO")
    arguments.prepare_workers = 8
    run_prepare(arguments)
    assert started == [2]
    assert "2 workers work, not 8: so many cores may this process use" in caplog.text


def test_no_more_documents_are_read_than_asked_for(arguments: PrepareArguments, texts: list[str]) -> None:
    arguments.max_documents = 7
    shards = TokenShards(run_prepare(arguments))
    assert len(shards) == shards.manifest["documents_read"] == 7


def has_a_seven(document: TextDocument) -> str | None:
    return "seven" if "7" in document.text else None


def test_the_manifest_accounts_for_every_document(
    arguments: PrepareArguments, corpus: Path, tmp_path: Path, texts: list[str]
) -> None:
    rows = [
        *texts,
        " ".join(texts[3]),
        "短。",
        "nothing but English words in this text",
        texts[4].replace("吃肉", "睡觉"),
    ]
    more = tmp_path / "more.jsonl"
    more.write_text("\n".join(json.dumps({"text": row}) for row in rows), encoding="utf-8")
    arguments.corpus = [str(more)]
    arguments.minimum_characters, arguments.minimum_han_share, arguments.drop_exact_duplicates = 5, 0.3, True
    shards = TokenShards(run_prepare(arguments, filters=[has_a_seven]))
    manifest = shards.manifest
    sevens = sum("7" in row for row in rows)
    assert manifest["dropped"] == {"exact_duplicate": 1, "little_han": 1, "seven": sevens, "too_short": 1}
    assert manifest["documents_read"] == len(rows) == manifest["documents"] + sum(manifest["dropped"].values())
    assert manifest["configuration"]["filters"] == [f"{has_a_seven.__module__}.has_a_seven"]
    arguments.near_duplicate_similarity, arguments.overwrite = 0.6, True
    again = TokenShards(run_prepare(arguments, filters=[has_a_seven])).manifest
    assert again["dropped"]["near_duplicate"] > 0
    assert again["documents_read"] == again["documents"] + sum(again["dropped"].values())


def test_own_filters_run_before_those_of_duplicates(arguments: PrepareArguments, tmp_path: Path) -> None:
    rows = ["老虎是一种哺乳动物，生活在森林里 x", "老虎是一种哺乳动物，生活在森林里"]
    file = tmp_path / "copies.jsonl"
    file.write_text("\n".join(json.dumps({"text": row}) for row in rows), encoding="utf-8")
    arguments.corpus, arguments.near_duplicate_similarity = [str(file)], 0.5
    shards = TokenShards(run_prepare(arguments, filters=[lambda one: "x" if "x" in one.text else None]))
    assert shards.manifest["dropped"] == {"x": 1} and len(shards) == 1


def test_a_corpus_that_is_dropped_whole_is_reported_with_the_reasons(arguments: PrepareArguments) -> None:
    arguments.minimum_characters = 1000
    with pytest.raises(ValueError, match=r"no token \(too_short: 60\)"):
        run_prepare(arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "x"}, "both corpus and dataset are given"),
        ({"dataset_files": ["x"]}, "dataset_files is given without dataset"),
        ({"max_documents": 0}, "max_documents=0"),
        ({"minimum_han_share": 1.5}, "minimum_han_share=1.5"),
        ({"near_duplicate_similarity": 1.5}, "near_duplicate_similarity=1.5"),
    ],
)
def test_impossible_values_are_refused_before_work(
    arguments: PrepareArguments, changes: dict[str, object], message: str
) -> None:
    for name, value in changes.items():
        setattr(arguments, name, value)
    with pytest.raises(ValueError, match=message):
        run_prepare(arguments)
    assert not Path(arguments.output_dir).exists()


def test_the_last_line_says_what_was_kept_and_why_the_rest_was_not(
    arguments: PrepareArguments, caplog: pytest.LogCaptureFixture
) -> None:
    arguments.max_documents, arguments.minimum_characters = 20, 50
    with caplog.at_level("INFO"):
        run_prepare(arguments)
    line = caplog.messages[-1]
    assert "of 20 documents kept (dropped: too_short " in line and "tokens" in line and "MB/s" in line


def test_the_bar_ends_at_the_size_of_the_files_and_the_number_of_shards(
    arguments: PrepareArguments, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_prepare(arguments)
    written = capsys.readouterr().err
    n_shards = len(TokenShards(folder).manifest["shards"])
    assert "100%" in written and f"60 documents, 0 dropped, {n_shards} shards" in written.replace("\n", " ")

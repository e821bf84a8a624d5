import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard
from datatrove.data import Document
from datatrove.pipeline.readers import JsonlReader

from chinese_modernbert.trainers.data.arguments import PrepareArguments
from chinese_modernbert.trainers.data.datatrove_steps import MergeShards, PrepareShards, merge_shards
from chinese_modernbert.trainers.data.shards import TokenShards


@pytest.fixture
def for_tasks(arguments: PrepareArguments) -> PrepareArguments:
    return dataclasses.replace(arguments, corpus=[])


def run_task(arguments: PrepareArguments, texts: list[str], rank: int, world_size: int) -> None:
    documents = [Document(text, f"document {number}") for number, text in enumerate(texts)]
    PrepareShards(arguments).run(documents, rank, world_size)


def contents(shards: TokenShards) -> list[tuple[str, list[int], list[bool]]]:
    rows = []
    for index in range(len(shards)):
        document = shards[index]
        source = shards.source_names[shards.source_of[index]]
        rows.append((source, document.input_ids.tolist(), document.word_starts.tolist()))
    return rows


def test_an_attempt_that_ended_early_keeps_its_finished_shards(for_tasks: PrepareArguments, texts: list[str]) -> None:
    step, folder = PrepareShards(for_tasks), Path(for_tasks.output_dir)

    def broken() -> Any:
        for number, text in enumerate(texts):
            if number == 40:
                raise ConnectionError("the disk of the reader is gone")
            yield Document(text, str(number))

    with pytest.raises(ConnectionError):
        step.run(broken(), 0, 1)
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*.json")}
    assert len(kept) > 1 and not (folder / "rank-00000.json").exists()
    run_task(for_tasks, texts, 0, 1)
    assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept
    assert len(TokenShards(merge_shards(for_tasks))) == len(texts)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_that_was_cut_off_stops_a_task(
    for_tasks: PrepareArguments, tmp_path: Path, suffix: str
) -> None:
    # The reader of datatrove warns of one broken line, or not even that, and its task ends well.
    lines = [
        json.dumps({"text": f"第 {number} 篇，{number * 7919 % 10007} 字", "id": str(number)})
        for number in range(5_000)
    ]
    pack = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}[suffix]
    packed = pack("\n".join(lines).encode())
    folder = tmp_path / "texts"
    folder.mkdir()
    file = folder / f"a.jsonl{suffix}"
    file.write_bytes(packed)
    step = PrepareShards(for_tasks)
    step.run(JsonlReader(str(folder)).run())
    assert len(TokenShards(merge_shards(for_tasks))) == 5_000
    file.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match="its end is missing"):
        step.run(JsonlReader(str(folder)).run())
    assert not list(Path(for_tasks.output_dir).glob("rank-*"))


def test_merging_waits_for_every_task(for_tasks: PrepareArguments, texts: list[str]) -> None:
    PrepareShards(for_tasks)
    with pytest.raises(FileNotFoundError, match="no task of PrepareShards has finished"):
        merge_shards(for_tasks)
    run_task(for_tasks, texts[:30], 0, 3)
    with pytest.raises(FileNotFoundError, match="2 of 3 tasks have not finished: 1, 2"):
        merge_shards(for_tasks)
    assert not (Path(for_tasks.output_dir) / "manifest.json").exists()


def test_a_task_without_documents_is_finished_too(for_tasks: PrepareArguments, texts: list[str]) -> None:
    run_task(for_tasks, texts, 0, 2)
    run_task(for_tasks, [], 1, 2)
    assert len(TokenShards(merge_shards(for_tasks))) == len(texts)


def test_a_shard_that_was_lost_before_merging_is_named(for_tasks: PrepareArguments, texts: list[str]) -> None:
    run_task(for_tasks, texts, 0, 1)
    (Path(for_tasks.output_dir) / "shard-00000-00001.ids.bin").unlink()
    with pytest.raises(ValueError, match=r"shard-00000-00001.ids.bin is missing"):
        merge_shards(for_tasks)


def test_overwriting_forgets_what_the_tasks_of_before_left(for_tasks: PrepareArguments, texts: list[str]) -> None:
    run_task(for_tasks, texts, 0, 1)
    PrepareShards(dataclasses.replace(for_tasks, overwrite=True))
    with pytest.raises(FileNotFoundError, match="no task of PrepareShards has finished"):
        merge_shards(for_tasks)


def test_parts_of_another_run_are_refused(for_tasks: PrepareArguments, texts: list[str]) -> None:
    run_task(for_tasks, texts[:30], 0, 1)
    run_task(for_tasks, texts[30:], 1, 2)
    with pytest.raises(ValueError, match="runs with 1 and 2 tasks; delete the rank"):
        merge_shards(for_tasks)
    part = Path(for_tasks.output_dir) / "rank-00000.json"
    changed = json.loads(part.read_text(encoding="utf-8")) | {"world_size": 2, "configuration": {"segmenter": "none"}}
    part.write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(ValueError, match=r"rank-00000.json was written with other settings"):
        merge_shards(for_tasks)


def test_filters_count_and_sources_come_from_the_metadata(for_tasks: PrepareArguments) -> None:
    for_tasks.minimum_characters = 3
    given = [("老虎爱吃肉", "/data/zoo.jsonl.gz"), ("短", "/data/zoo.jsonl.gz"), ("长长的一篇", "/data/news.jsonl")]
    documents = [Document(text, path, metadata={"file_path": path, "site": "here"}) for text, path in given]
    PrepareShards(for_tasks).run(documents, 0, 1)
    manifest = TokenShards(merge_shards(for_tasks)).manifest
    assert manifest["dropped"] == {"too_short": 1} and manifest["documents_read"] == 3
    assert set(manifest["sources"]) == {"zoo", "news"}
    for_tasks.source_field, for_tasks.overwrite = "site", True
    PrepareShards(for_tasks).run(documents, 0, 1)
    assert set(TokenShards(merge_shards(for_tasks)).manifest["sources"]) == {"here"}
    for_tasks.source_field = "page"
    with pytest.raises(ValueError, match="no text field 'page' in its metadata; its fields are file_path, site"):
        PrepareShards(for_tasks).run(documents, 0, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drop_exact_duplicates": True}, "duplicates across tasks would stay"),
        ({"near_duplicate_similarity": 0.8}, "duplicates across tasks would stay"),
        ({"corpus": ["x"]}, "a datatrove reader reads here"),
        ({"output_dir": ""}, "output_dir is not given"),
    ],
)
def test_what_a_task_cannot_do_is_refused_when_the_step_is_made(
    for_tasks: PrepareArguments, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        PrepareShards(dataclasses.replace(for_tasks, **changes))


def test_merging_is_one_task(for_tasks: PrepareArguments) -> None:
    with pytest.raises(ValueError, match="give this executor tasks=1"):
        MergeShards(for_tasks).run(None, 0, 2)

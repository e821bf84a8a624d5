"""What happens when `prepare` is cut off, runs out of room, or is started again with something else."""

import dataclasses
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chinese_modernbert.tokenization import TokenizerArguments, run_tokenizer_training
from chinese_modernbert.trainers.data import shard_settings, shards
from chinese_modernbert.trainers.data.arguments import PrepareArguments
from chinese_modernbert.trainers.data.filters import MinimumCharacters, MinimumHanShare
from chinese_modernbert.trainers.data.prepare import run_prepare
from chinese_modernbert.trainers.data.shards import TokenShards


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def finished(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*.json")}


def test_a_full_disk_is_one_clear_line_and_a_second_run_finishes(
    arguments: PrepareArguments, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = contents(run_prepare(dataclasses.replace(arguments, output_dir=str(tmp_path / "whole"))))
    real, folder = shards.file_sha256, Path(arguments.output_dir)

    def full_at_the_third(path: Path) -> str:
        if path.name.startswith("shard-00002.starts"):
            raise OSError(28, "No space left on device")
        return real(path)

    monkeypatch.setattr(shards, "file_sha256", full_at_the_third)
    with pytest.raises(OSError, match=r"shard-00002 cannot be written \(.*No space.*MB are free.*run the same command"):
        run_prepare(arguments)
    kept = finished(folder)
    assert kept.keys() == {"shard-00000.json", "shard-00001.json"}
    monkeypatch.setattr(shards, "file_sha256", real)
    assert contents(run_prepare(arguments)) == whole
    assert finished(folder).items() >= kept.items()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_really_full_keeps_the_finished_shards(many: PrepareArguments, small_disk: Path) -> None:
    folder = small_disk / "shards"
    with pytest.raises(OSError, match=r"cannot be written .*0 MB are free"):
        run_prepare(dataclasses.replace(many, output_dir=str(folder)))
    assert len(finished(folder)) > 2
    assert not list(folder.glob("*.partial"))
    kept = finished(folder)
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert len(TokenShards(run_prepare(dataclasses.replace(many, output_dir=str(folder))))) == 3600
    assert finished(folder).items() >= kept.items()


def test_another_tokenizer_is_refused_and_the_shards_stay(
    arguments: PrepareArguments, corpus: Path, tmp_path: Path
) -> None:
    folder = run_prepare(arguments)
    before = contents(folder)
    other = TokenizerArguments(corpus=[str(corpus)], output_dir=str(tmp_path / "other"), vocab_size=380)
    arguments.tokenizer = str(run_tokenizer_training(other))
    with pytest.raises(FileExistsError, match=r"other settings: tokenizer_hash was .*; add --overwrite"):
        run_prepare(arguments)
    assert contents(folder) == before


def test_other_filters_are_refused_and_the_shards_stay(arguments: PrepareArguments) -> None:
    before = contents(run_prepare(arguments))
    arguments.drop_exact_duplicates = True
    with pytest.raises(FileExistsError, match="other settings: drop_exact_duplicates was False, is True"):
        run_prepare(arguments)
    assert contents(Path(arguments.output_dir)) == before


def test_a_filter_of_ours_is_named_without_its_module_and_the_callers_with_it(arguments: PrepareArguments) -> None:
    def own(document: object) -> str | None:
        return None

    folder = run_prepare(arguments, [MinimumCharacters(2), own])
    named = json.loads((folder / "prepare.json").read_text("utf-8"))["filters"]
    assert named == ["MinimumCharacters", f"{__name__}.{own.__qualname__}"]


def test_shards_of_a_version_that_named_filters_by_another_module_are_continued(
    arguments: PrepareArguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_name = "chinese_modernbert.trainers.quality.MinimumCharacters"
    with monkeypatch.context() as version_before:
        version_before.setattr(shard_settings, "filter_name", lambda path: old_name)
        folder = run_prepare(arguments, [MinimumCharacters(2)])
    assert json.loads((folder / "prepare.json").read_text("utf-8"))["filters"] == [old_name]
    before, written = contents(folder), finished(folder)
    run_prepare(arguments, [MinimumCharacters(2)])
    assert contents(folder) == before
    assert finished(folder) == written
    with pytest.raises(FileExistsError, match="other settings: filters was"):
        run_prepare(arguments, [MinimumHanShare(0.1)])


@pytest.mark.parametrize("kind", ["ids", "starts", "offsets", "sources", "counts"])
def test_a_truncated_file_costs_its_own_shard_alone(arguments: PrepareArguments, kind: str) -> None:
    folder = run_prepare(arguments)
    whole, written = contents(folder), finished(folder)
    broken = folder / f"shard-00001.{kind}.bin"
    broken.write_bytes(broken.read_bytes()[:-1])
    assert contents(run_prepare(arguments)) == whole
    assert {name for name, when in finished(folder).items() if when != written[name]} == {"shard-00001.json"}


def test_a_run_that_fails_on_its_input_leaves_a_finished_corpus_usable(
    arguments: PrepareArguments, corpus: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes((corpus / "one.jsonl").read_bytes())
    arguments.corpus = [str(copy)]
    folder = run_prepare(arguments)
    copy.write_bytes((corpus / "one.jsonl").read_bytes() + b'{"text": \n')
    with pytest.raises(ValueError, match="copy.jsonl:41"):
        run_prepare(arguments)
    assert len(TokenShards(folder)) == 40


def test_filters_of_duplicates_drop_the_same_documents_after_a_restart(arguments: PrepareArguments) -> None:
    arguments.near_duplicate_similarity = 0.6
    folder = run_prepare(arguments)
    whole = contents(folder)
    (folder / "shard-00001.json").unlink()
    assert json.loads(whole["manifest.json"])["dropped"]["near_duplicate"] > 0
    assert contents(run_prepare(arguments)) == whole

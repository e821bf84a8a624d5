import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from chinese_modernbert.trainers.data import shards
from chinese_modernbert.trainers.data.shards import TokenShards, check_shard, file_sha256, write_shard
from reference.odd_json import odd_versions
from reference.shard_folders import random_documents, write_folder

LENGTHS = [[3, 1, 17, 8], [9, 30], [1]]


@pytest.mark.parametrize("vocab_size", [1000, 65_536, 65_537, 200_000])
def test_documents_come_back_as_they_were_written(tmp_path: Path, vocab_size: int) -> None:
    written = [random_documents(lengths, vocab_size, seed) for seed, lengths in enumerate(LENGTHS)]
    shards = TokenShards(write_folder(tmp_path, written, vocab_size), "abc", check_hashes=True)
    flat = [document for documents in written for document in documents]
    assert len(shards) == len(flat)
    for index, document in enumerate(flat):
        assert shards[index].input_ids.dtype == (np.uint16 if vocab_size <= 65_536 else np.uint32)
        assert shards[index].input_ids.tolist() == document.input_ids.tolist()
        assert shards[index].word_starts.tolist() == document.word_starts.tolist()


def test_any_part_of_a_document_can_be_read(tmp_path: Path) -> None:
    written = random_documents([50, 70])
    shards = TokenShards(write_folder(tmp_path, [written]))
    for start in range(0, 70, 7):
        for length in (1, 5, 70 - start):
            part = shards.read(1, start, length)
            assert part.input_ids.tolist() == written[1].input_ids[start : start + length].tolist()
            assert part.word_starts.tolist() == written[1].word_starts[start : start + length].tolist()


def test_lengths_starts_sources_and_counts_describe_the_documents(tmp_path: Path) -> None:
    written = [random_documents(lengths, seed=seed) for seed, lengths in enumerate(LENGTHS)]
    shards = TokenShards(write_folder(tmp_path, written))
    flat = [document.input_ids for documents in written for document in documents]
    assert shards.lengths.tolist() == [3, 1, 17, 8, 9, 30, 1]
    assert shards.starts.tolist() == [0, 3, 4, 21, 29, 38, 68]
    assert shards.token_counts().tolist() == np.bincount(np.concatenate(flat), minlength=1000).tolist()
    assert [shards.source_names[number] for number in shards.source_of] == ["a", "a", "a", "b", "b", "a", "a"]
    assert [shards.name_of(i) for i in (0, 3, 4, 6)] == [
        "shard-00000:0",
        "shard-00000:3",
        "shard-00001:0",
        "shard-00002:0",
    ]


def test_a_copy_in_another_process_reads_the_same(tmp_path: Path) -> None:
    shards = TokenShards(write_folder(tmp_path, [random_documents([4, 6])]))
    first = shards[1].input_ids.tolist()
    assert pickle.loads(pickle.dumps(shards))[1].input_ids.tolist() == first


def test_a_manifest_of_another_shape_is_named_or_opens(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, [random_documents([4, 6])])
    TokenShards(folder)
    path = folder / "manifest.json"
    n_refused = 0
    for version, what in odd_versions(json.loads(path.read_text())):
        path.write_text(json.dumps(version))
        try:
            assert len(TokenShards(folder, check_hashes=False)) == 2, what
        except ValueError as error:
            assert str(folder) in str(error), what
            n_refused += 1
    assert n_refused > 100


def test_what_was_remembered_of_hashes_may_be_of_any_shape(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, [random_documents([4, 6])])
    for remembered in ("[]", "{", '{"shard-00000": []}', "null"):
        (folder / shards.VERIFIED).write_text(remembered)
        assert len(TokenShards(folder, check_hashes=True)) == 2


def test_a_truncated_shard_is_named_with_both_sizes(tmp_path: Path) -> None:
    write_folder(tmp_path, [random_documents([40])])
    path = tmp_path / "shard-00000.ids.bin"
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(ValueError, match=r"shard-00000.ids.bin has 74 bytes, the manifest says 80.*run prepare again"):
        TokenShards(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, [random_documents([40])])
    (tmp_path / "shard-00000.starts.bin").unlink()
    with pytest.raises(ValueError, match="starts.bin is missing"):
        TokenShards(tmp_path)


def test_a_changed_byte_is_found_by_the_hash_and_only_by_it(tmp_path: Path) -> None:
    write_folder(tmp_path, [random_documents([40])])
    path = tmp_path / "shard-00000.ids.bin"
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    TokenShards(tmp_path, check_hashes=False)
    with pytest.raises(ValueError, match="other SHA-256"):
        TokenShards(tmp_path)


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("offsets", np.array([0, 70, 40], np.uint64)),
        ("offsets", np.array([1, 30, 40], np.uint64)),
        ("offsets", np.array([0, 2**40, 40], np.uint64)),
        ("offsets", np.array([0, 30, 2**63], np.uint64)),
        ("sources", np.array([0, 2], np.uint16)),
    ],
)
def test_numbers_that_lead_out_of_a_shard_are_one_line_where_no_hash_is_compared(
    tmp_path: Path, kind: str, column: np.ndarray
) -> None:
    write_folder(tmp_path, [random_documents([30, 10])])
    column.tofile(tmp_path / f"shard-00000.{kind}.bin")
    with pytest.raises(ValueError, match=rf"shard-00000.{kind}.bin is damaged: .*; run prepare again$"):
        TokenShards(tmp_path, check_hashes=False)


def test_hashes_are_compared_at_the_first_opening_and_again_only_where_a_file_was_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, [random_documents([40]), random_documents([30])])
    hashed: list[str] = []
    monkeypatch.setattr(shards, "file_sha256", lambda path: hashed.append(path.name) or file_sha256(path))
    TokenShards(tmp_path)
    assert len(hashed) == 10
    TokenShards(tmp_path)
    assert len(hashed) == 10
    path = tmp_path / "shard-00001.ids.bin"
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    os.utime(path, ns=times)  # as a copy that keeps the time of modification
    with pytest.raises(ValueError, match="shard-00001.ids.bin has changed"):
        TokenShards(tmp_path)
    assert {name.split(".")[0] for name in hashed[10:]} == {"shard-00001"}


def test_a_broken_record_of_comparisons_is_passed_over(tmp_path: Path) -> None:
    write_folder(tmp_path, [random_documents([40])])
    (tmp_path / "verified.json").write_text("{")
    assert len(TokenShards(tmp_path)) == 1
    assert json.loads((tmp_path / "verified.json").read_text()).keys() == {"shard-00000"}


def test_a_folder_that_cannot_be_written_is_compared_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, text: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    write_folder(tmp_path, [random_documents([40])])
    monkeypatch.setattr(shards, "write_text_atomically", refuse)
    assert len(TokenShards(tmp_path)) == len(TokenShards(tmp_path)) == 1
    assert not (tmp_path / "verified.json").exists()


def test_a_full_disk_leaves_the_old_file_and_no_half_written_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path, [random_documents([40])])
    old = (folder / "shard-00000.ids.bin").read_bytes()

    def full(path: Path) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards, "file_sha256", full)
    with pytest.raises(OSError, match="No space left"):
        write_shard(folder, "shard-00000", random_documents([9]), [0], 1000)
    assert (folder / "shard-00000.ids.bin").read_bytes() == old
    assert not list(folder.glob("*.partial"))


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, [random_documents([4])])
    with pytest.raises(ValueError, match="prepared with another tokenizer"):
        TokenShards(tmp_path, "another")


@pytest.mark.parametrize(("changes", "message"), [({"format": 9}, "has format 9"), ({"shards": []}, "no document")])
def test_an_unusable_manifest_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    write_folder(tmp_path, [random_documents([4])], **changes)
    with pytest.raises(ValueError, match=message):
        TokenShards(tmp_path)


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="prepare has not finished"):
        TokenShards(tmp_path)


def test_a_number_outside_the_corpus_is_refused(tmp_path: Path) -> None:
    shards = TokenShards(write_folder(tmp_path, [random_documents([4])]))
    for index in (-1, 1):
        with pytest.raises(IndexError):
            shards[index]


def test_half_written_files_never_take_the_final_name(tmp_path: Path) -> None:
    entry = write_shard(tmp_path, "shard-00000", random_documents([4]), [0], 1000)
    check_shard(tmp_path, entry)
    assert not list(tmp_path.glob("*.partial"))

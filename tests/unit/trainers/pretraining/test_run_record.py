import hashlib
import json
from importlib import metadata
from pathlib import Path

import pytest
import torch

from chinese_modernbert.trainers.data.shards import MANIFEST, TokenShards
from chinese_modernbert.trainers.pretraining.run_record import run_record, summarise_manifest
from reference.shard_folders import random_documents, write_folder


def test_the_record_names_packages_counts_and_hashes_and_no_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, [random_documents([3, 5]), random_documents([7])])
    record = json.loads(run_record(folder))
    assert record["packages"]["torch"] == metadata.version("torch")
    assert record["machine"]["threads"] == torch.get_num_threads()
    assert record["data"]["manifest_sha256"] == hashlib.sha256((Path(folder) / MANIFEST).read_bytes()).hexdigest()
    ids = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(Path(folder).glob("*.ids.bin"))]
    assert [shard["sha256"]["ids"] for shard in record["data"]["shards"]] == ids
    assert sum(shard["tokens"] for shard in record["data"]["shards"]) == int(TokenShards(folder).lengths.sum()) == 15
    assert str(tmp_path) not in run_record(folder)
    assert run_record(folder) == run_record(folder)


def test_a_folder_that_was_not_prepared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a prepared corpus"):
        summarise_manifest(tmp_path)

import hashlib
import json
import shutil
from importlib import metadata
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from chinese_modernbert.hub_release import ReleaseArguments, build_release
from chinese_modernbert.runtime.files import model_fingerprint
from chinese_modernbert.trainers.data.shards import MANIFEST, TokenShards
from chinese_modernbert.trainers.pretraining.run_record import (
    PROVENANCE_FILE,
    RUN_RECORD,
    run_record,
    summarise_manifest,
)
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


def test_the_record_of_a_continued_run_holds_its_start_and_the_run_before(
    saved_checkpoint: Path, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path, [random_documents([3])])
    start = Path(shutil.copytree(saved_checkpoint, tmp_path / "first"))
    (start / RUN_RECORD).write_text(run_record(folder), encoding="utf-8")
    second = json.loads(run_record(folder, start))
    assert second["start"] == {"model": model_fingerprint(start), "before": json.loads(run_record(folder))}
    release = build_release(ReleaseArguments(str(start), str(tmp_path / "release"), model_name="owner/first"))
    (start / RUN_RECORD).write_text(run_record(folder, release), encoding="utf-8")
    built = build_release(ReleaseArguments(str(start), str(tmp_path / "built"), model_name="owner/second"))
    card = ModelCard.load(built / "README.md")
    assert card.data.to_dict()["base_model"] == "owner/first"
    assert f"| Continued from (name, digest of the weights) | {model_fingerprint(release)} |" in card.content
    assert "| Tokens in the data of the run before | 3 |" in card.content
    local = ReleaseArguments(str(start), str(tmp_path / "local"), model_name=str(tmp_path / "local"))
    assert "name" not in json.loads((build_release(local) / PROVENANCE_FILE).read_text(encoding="utf-8"))
    given = ReleaseArguments(str(start), str(tmp_path / "given"), base_model="owner/other")
    assert ModelCard.load(build_release(given) / "README.md").data.to_dict()["base_model"] == "owner/other"

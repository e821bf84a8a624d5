import json
from pathlib import Path

import pytest
from safetensors import SafetensorError

from chinese_modernbert.trainers.pretraining.checkpoints import (
    SEAL,
    WRITING,
    drop_old_checkpoints,
    find_damage,
    last_checkpoint,
    move_into_place,
    numbered_checkpoints,
    report_failed_writing,
)
from reference.odd_json import odd_versions


def write(output: Path, step: int) -> Path:
    written = output / WRITING / f"checkpoint-{step}"
    (written / "inner").mkdir(parents=True)
    (written / "model.safetensors").write_bytes(b"weights")
    (written / "inner" / "state.json").write_text("{}")
    move_into_place(written, output / written.name)
    return output / written.name


def names(output: Path) -> list[str]:
    return [path.name for path in numbered_checkpoints(output)]


def test_a_checkpoint_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    checkpoint = write(tmp_path, 8)
    assert find_damage(checkpoint, check_hashes=True) is None
    assert set(json.loads((checkpoint / SEAL).read_text())) == {"model.safetensors", "inner/state.json"}
    assert not (tmp_path / WRITING).exists()


def test_sizes_are_always_compared_and_contents_where_asked(tmp_path: Path) -> None:
    checkpoint = write(tmp_path, 8)
    (checkpoint / "model.safetensors").write_bytes(b"Weights")
    assert find_damage(checkpoint) is None
    assert "other SHA-256" in str(find_damage(checkpoint, check_hashes=True))
    (checkpoint / "model.safetensors").write_bytes(b"weight")
    assert find_damage(checkpoint) == "model.safetensors has 6 bytes, 7 were written"


def test_a_seal_of_another_shape_is_damage(tmp_path: Path) -> None:
    checkpoint = write(tmp_path, 1)
    sealed = json.loads((checkpoint / SEAL).read_text())
    for version, what in odd_versions(sealed):
        (checkpoint / SEAL).write_text(json.dumps(version))
        assert isinstance(find_damage(checkpoint, check_hashes=True), str) or version == sealed, what


def test_checkpoints_are_ordered_by_number_and_the_newest_whole_one_is_the_last(tmp_path: Path) -> None:
    for step in (8, 100, 20):
        write(tmp_path, step)
    (tmp_path / "checkpoint-best").mkdir()
    assert names(tmp_path) == ["checkpoint-8", "checkpoint-20", "checkpoint-100"]
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-100"
    (tmp_path / "checkpoint-100" / SEAL).unlink()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-20"


def test_a_run_without_checkpoints_has_no_last_one_but_damaged_ones_are_not_none(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    (tmp_path / "checkpoint-5").mkdir()
    with pytest.raises(ValueError, match=r"none of the 1 checkpoints .* is whole .*cut off"):
        last_checkpoint(tmp_path)


def test_old_checkpoints_go_but_never_the_newest_and_damaged_ones_do_not_count(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        write(tmp_path, step)
    (tmp_path / "checkpoint-4" / "model.safetensors").unlink()
    drop_old_checkpoints(tmp_path, tmp_path / "checkpoint-2", keep=2)  # 2 was just written again
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-3", "checkpoint-4"]
    drop_old_checkpoints(tmp_path, tmp_path / "checkpoint-2", keep=1)
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-4"]
    drop_old_checkpoints(tmp_path, tmp_path / "checkpoint-2", keep=None)
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-4"]


@pytest.mark.parametrize("error", [OSError(28, "No space left"), RuntimeError("write failed"), SafetensorError("I/O")])
def test_a_failed_writing_is_told_in_one_line_with_what_is_left(tmp_path: Path, error: Exception) -> None:
    (tmp_path / WRITING).mkdir()
    with pytest.raises(OSError, match=r"step could not be written .*no earlier checkpoint.*--resume auto") as caught:
        with report_failed_writing(tmp_path, "step"):
            raise error
    assert "\n" not in str(caught.value)
    assert not (tmp_path / WRITING).exists()
    write(tmp_path, 3)
    with pytest.raises(OSError, match="checkpoint-3 is whole"), report_failed_writing(tmp_path, "step"):
        raise error

"""What a run may go on with: the same settings, the same data, the same start, a folder of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from chinese_modernbert.trainers.data.shards import KINDS
from chinese_modernbert.trainers.pretraining.run import check_pretraining
from reference.pretraining_run import Run


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("option", ["data", "eval_data"])
def test_a_run_reads_no_shard_in_which_one_bit_has_changed(
    make_run: Run, tmp_path: Path, option: str, kind: str
) -> None:
    arguments = make_run()
    folder = tmp_path / "shards"
    shutil.copytree(getattr(arguments, option), folder)
    file = folder / f"shard-00000.{kind}.bin"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    setattr(arguments, option, str(folder))
    with pytest.raises(ValueError, match=rf"shard-00000.{kind}.bin has changed since it was written"):
        check_pretraining(arguments)

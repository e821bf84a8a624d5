"""What a run may go on with: the same settings, the same data, the same start, a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chinese_modernbert.runtime.folder_lock import LOCK, hold_folder
from chinese_modernbert.trainers.clue.arguments import ClueArguments
from chinese_modernbert.trainers.clue.run import run_clue
from chinese_modernbert.trainers.contrastive.arguments import ContrastiveArguments
from chinese_modernbert.trainers.contrastive.run import run_contrastive
from chinese_modernbert.trainers.data.arguments import PrepareArguments
from chinese_modernbert.trainers.data.prepare import run_prepare
from chinese_modernbert.trainers.data.shards import KINDS
from chinese_modernbert.trainers.pretraining.checkpoints import last_checkpoint
from chinese_modernbert.trainers.pretraining.run import build_trainer, check_pretraining, run_pretraining
from reference.pretraining_run import Run, run_until


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


@pytest.fixture
def cut_run(make_run: Run, tmp_path: Path) -> Path:
    """Return the folder of a run that was cut off after its first checkpoint."""
    run_until(5, make_run())
    return tmp_path / "run"


@pytest.mark.parametrize("lost", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"])
def test_a_checkpoint_that_loses_a_file_after_it_was_chosen_is_not_loaded_in_part(
    cut_run: Path, make_run: Run, lost: str
) -> None:
    setup = check_pretraining(arguments := make_run(resume="auto"))
    trainer = build_trainer(arguments, setup)
    trainer.stop_on_signal.stop_listening()
    (cut_run / "checkpoint-4" / lost).unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"checkpoint-4 cannot be loaded: {lost} is missing; go on from another"
    ):
        trainer.train(resume_from_checkpoint=str(setup.resume_from))
    with pytest.raises(FileNotFoundError, match=lost):
        trainer._load_optimizer_and_scheduler(str(setup.resume_from))
    with pytest.raises(FileNotFoundError, match=lost):
        trainer._load_rng_state(str(setup.resume_from))


def test_no_command_works_in_the_folder_of_another_that_lives(
    make_run: Run, cut_run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chinese_modernbert.trainers.contrastive.run.check_arguments", lambda *_: None)
    output, kept = str(cut_run), sorted(path.name for path in cut_run.iterdir())
    common = {"model": "no model", "output_dir": output, "use_cpu": True, "report_to": "none"}
    corpus = [str(data / "train.jsonl")]
    commands = {
        "pretrain": lambda: run_pretraining(make_run(resume="auto")),
        "pretrain anew": lambda: run_pretraining(make_run(overwrite=True)),
        "prepare": lambda: run_prepare(PrepareArguments(corpus, str(data / "tokenizer"), output, overwrite=True)),
        "clue": lambda: run_clue(ClueArguments(**common, tasks=["tnews"], overwrite=True)),
        "sts": lambda: run_contrastive(ContrastiveArguments(**common, overwrite=True)),
    }
    with hold_folder(cut_run):
        for name, command in commands.items():
            with pytest.raises(FileExistsError, match=f"run is in use by process {os.getpid()} on "):
                command()
            assert sorted(path.name for path in cut_run.iterdir()) == sorted([*kept, LOCK]), name


def test_a_run_that_is_killed_leaves_a_lock_that_the_next_one_takes_over(
    make_run: Run, cut_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = "import os, sys\nfrom chinese_modernbert.runtime.folder_lock import hold_folder\n"
    code += "with hold_folder(sys.argv[1]): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(cut_run)], check=False)
    assert (cut_run / LOCK).is_file()
    run_pretraining(make_run(resume="auto"))
    assert "which is gone: it is taken over" in caplog.text
    assert not (cut_run / LOCK).exists()
    assert last_checkpoint(cut_run) == cut_run / "checkpoint-12"

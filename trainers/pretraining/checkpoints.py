"""Checkpoints that are whole or not there: written under another name, sealed with sizes and hashes, then renamed.

Legend: a checkpoint is sealed when `checkpoint_files.json` lists every other file of it with bytes and SHA-256. The
seal is written last, so a folder without it was cut off; a file that differs from it was damaged later.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate.utils import wait_for_everyone
from safetensors import SafetensorError
from transformers import PreTrainedTokenizerFast
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ...runtime.files import file_sha256, read_record, write_text_atomically
from ...tokenization.loading import save_tokenizer

logger = logging.getLogger(__name__)

SEAL = "checkpoint_files.json"
WRITING = ".writing"
RUN_STATE = "run_state.json"
TRAINING_ARGUMENTS_PICKLE = "training_args.bin"
# What the library goes on without, and without a word, where it is not there. Optimizers of FSDP are folders.
PARTS = ("trainer_state.json", "scheduler.pt", "optimizer*", "rng_state*.pth")


class CheckpointWriter:
    """Writes the checkpoints of one run, all its processes together: each is whole or not there.

    Args:
        output: the run's folder
        writes: whether this process writes files
        tokenizer: saved with every checkpoint
        record: files (name -> text) that go into every checkpoint, such as the recipe
    """

    def __init__(
        self, output: Path, writes: bool, tokenizer: PreTrainedTokenizerFast, record: Mapping[str, str]
    ) -> None:
        self.output, self.writes, self.tokenizer, self.record = output, writes, tokenizer, record
        self.is_writing = False

    @contextmanager
    def write(self, name: str) -> Iterator[Path]:
        """Yield a folder to write to; it gets its name in the run's folder when every process is done.

        Raises:
            OSError: If it cannot be written; what was half written is taken away.
        """
        written = self.output / WRITING / name
        if self.writes:
            shutil.rmtree(self.output / WRITING, ignore_errors=True)
        wait_for_everyone()
        self.is_writing = True
        try:
            with report_failed_writing(self.output, name):
                yield written
                wait_for_everyone()
                if self.writes:
                    move_into_place(written, self.output / name)
                wait_for_everyone()
        finally:
            self.is_writing = False

    def add_records(self, folder: Path, run_state: Mapping[str, Any]) -> None:
        """Put tokenizer, record and the run's state with saved weights; the Trainer's pickle is left out."""
        if self.writes:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / TRAINING_ARGUMENTS_PICKLE).unlink(missing_ok=True)
            save_tokenizer(self.tokenizer, folder)
            for name, text in {**self.record, RUN_STATE: json.dumps(run_state) + "\n"}.items():
                write_text_atomically(folder / name, text)


def read_run_state(checkpoint: str | Path) -> dict[str, Any]:
    """Return what `CheckpointWriter.add_records` was given as the run's state."""
    return read_record(Path(checkpoint) / RUN_STATE, {}, "give another checkpoint")


def seal(checkpoint: Path) -> None:
    """Write every file of a folder through to the disk and list them with their sizes and hashes."""
    listed = {}
    for path in sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != SEAL):
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
        listed[str(path.relative_to(checkpoint))] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    write_text_atomically(checkpoint / SEAL, json.dumps(listed, indent=1) + "\n")


def find_damage(checkpoint: Path, check_hashes: bool = False) -> str | None:
    """Return what is wrong with a checkpoint in one line, or None.

    Args:
        checkpoint: folder of the checkpoint
        check_hashes: also compare the SHA-256 of every file; sizes are always compared
    """
    try:
        listed = read_record(checkpoint / SEAL, {...: {"bytes": int, "sha256": str}}, "it was damaged")
    except FileNotFoundError:
        return f"it holds no {SEAL}: its writing was cut off"
    except (OSError, ValueError) as error:
        return f"{SEAL} cannot be read ({error})"
    if not listed:
        return f"{SEAL} lists no file"
    for name, expected in listed.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != expected["bytes"]:
            return f"{name} has {path.stat().st_size} bytes, {expected['bytes']} were written"
        if check_hashes and file_sha256(path) != expected["sha256"]:
            return f"{name} has changed since it was written (other SHA-256)"
    return None


def require_whole(checkpoint: str | Path) -> None:
    """Refuse to load a checkpoint in part: without its optimizer, a run would go on as another one.

    Raises:
        FileNotFoundError: If a file that was written is missing or of another size, or one was never written.
    """
    folder = Path(checkpoint)
    lacking = next((f"it holds no {part}" for part in PARTS if not any(folder.glob(part))), None)
    problem = find_damage(folder) or lacking
    if problem is not None:
        raise FileNotFoundError(f"{folder} cannot be loaded: {problem}; go on from another one with --resume")


def numbered_checkpoints(output: Path) -> list[Path]:
    """Return the checkpoints of a run in the order of their steps, whole or not."""
    found = [(path.name.rpartition("-")[2], path) for path in output.glob(f"{PREFIX_CHECKPOINT_DIR}-*")]
    return [path for _, path in sorted((int(step), path) for step, path in found if step.isdigit())]


def last_checkpoint(output: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, or None if it has none at all; damaged ones are passed by.

    Raises:
        ValueError: If there are checkpoints and every one is damaged.
    """
    found = numbered_checkpoints(output)
    for checkpoint in reversed(found):
        damage = find_damage(checkpoint, check_hashes=True)
        if damage is None:
            return checkpoint
        logger.warning("%s is passed by: %s", checkpoint, damage)
    if found:
        raise ValueError(
            f"none of the {len(found)} checkpoints in {output} is whole (the newest: {damage}); "  # pyright: ignore[reportPossiblyUnboundVariable]
            "bring one back, or start again with --overwrite and without --resume"
        )
    return None


def drop_old_checkpoints(output: Path, newest: Path, keep: int | None) -> None:
    """Delete the oldest checkpoints so that `keep` whole ones stay, `newest` among them; damaged ones do not count."""
    if not keep or keep < 1:
        return
    whole = [path for path in numbered_checkpoints(output) if path != newest and find_damage(path) is None]
    for path in whole[: max(0, len(whole) + 1 - keep)]:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def report_failed_writing(output: Path, what: str) -> Iterator[None]:
    """Turn a failure to write, such as a full disk, into one line, and take away what was half written.

    Raises:
        OSError: In place of the errors of the system, of safetensors and of torch.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(output / WRITING, ignore_errors=True)
        kept = [path for path in numbered_checkpoints(output) if find_damage(path) is None]
        state = f"{kept[-1]} is whole" if kept else "there is no earlier checkpoint"
        reason = " ".join(str(error).split())
        raise OSError(
            f"{what} could not be written to {output} ({reason}); {state}: make room, then --resume auto"
        ) from error


def move_into_place(written: Path, target: Path) -> None:
    """Seal a folder and give it its name; a damaged folder of that name is replaced."""
    seal(written)
    if target.exists():
        shutil.rmtree(target)
    os.replace(written, target)
    shutil.rmtree(written.parent, ignore_errors=True)

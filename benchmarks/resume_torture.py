"""Kill and damage pre-training runs at random, go on, and compare losses and weights bit for bit with the straight run.

    python benchmarks/resume_torture.py --work FOLDER [--kills 20] [--processes 1 2] [--seed 0]

A tiny model in two stages with dropout and a worker of the data loader, on one process or on several (torchrun, gloo).
A kill is SIGKILL: to every process of the run at a random moment, while it starts (`start`), after a random number of
new log lines (`step`) or while a checkpoint is written (`writing`); or to one rank alone (`rank`), after which the
others must end by themselves. After half of the kills the newest of several whole checkpoints is damaged too. Then the
same command goes on; a run that comes to its end is compared, and the next one starts, until there are enough kills.

Stop it with Ctrl-C or SIGTERM; the same command goes on, since every kill is a line of FOLDER/kills-N.jsonl and drawn
from seed and number alone. The last lines of the output are a table of all kills so far.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import torch
from safetensors.torch import load_file

from chinese_modernbert.tokenization import TokenizerArguments, run_tokenizer_training
from chinese_modernbert.trainers.data.arguments import PrepareArguments
from chinese_modernbert.trainers.data.prepare import run_prepare
from chinese_modernbert.trainers.pretraining.checkpoints import SEAL, WRITING, find_damage, numbered_checkpoints
from chinese_modernbert.trainers.pretraining.log import read_training_log

STEPS = 160
COMPARED = ("step", "loss", "grad_norm", "learning_rate", "mask_rate", "packing_efficiency")
TEXTS = [f"第{i}条：老虎是哺乳动物，共有{i * 37 % 101}只。北京有{i}条大街，{i % 9}座山。" for i in range(600)]
MARK = "RESUME_TORTURE"
MOMENTS = ("start", "step", "writing", "writing", "rank")
# Seconds within which a run must come to what is waited for; only for what hangs.
PATIENCE = 600


@dataclass
class Kill:
    """One kill and what was found after it.

    Attributes:
        number: of the kill, from 0
        run: number of the run that was killed
        moment: one of `MOMENTS`
        step: last step in the log
        half_written: a checkpoint was being written
        damage: what was done to the newest checkpoint, or None
        seconds: from the start of the command to the kill
    """

    number: int
    run: int
    moment: str
    step: int
    half_written: bool
    damage: str | None
    seconds: float


def make_data(folder: Path) -> None:
    """Write a tokenizer and shards, once."""
    if (folder / "shards").is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus.jsonl"
    corpus.write_text("\n".join(json.dumps({"text": text}) for text in TEXTS), encoding="utf-8")
    text, tokenizer = {"corpus": [str(corpus)], "overwrite": True}, str(folder / "tokenizer")
    run_tokenizer_training(TokenizerArguments(**text, output_dir=tokenizer, vocab_size=384))
    shards = str(folder / "shards")
    run_prepare(PrepareArguments(**text, tokenizer=tokenizer, output_dir=shards, prepare_workers=0))


def start(data: Path, output: Path, processes: int) -> subprocess.Popen[bytes]:
    """Start the run, or go on with it."""
    small = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96, "embedding_dropout": 0.1}
    recipe = {
        "data": str(data / "shards"),
        "tokenizer": str(data / "tokenizer"),
        "output_dir": str(output),
        "model": "tiny",
        "model_overrides": small,
        "stages": [{"context_length": 64, "share": 0.5}, {"context_length": 128, "share": 0.5}],
        "tokens_per_micro_batch": 256,
        "gradient_accumulation_steps": max(2 // processes, 1),
        "max_steps": STEPS,
        "learning_rate": 5e-3,
        "logging_steps": 1,
        "save_steps": 7,
        "save_total_limit": 3,
        "dataloader_num_workers": 1,
        "maximum_single_token_share": None,
        "seed": 3,
        "resume": "auto",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    file = output.parent / f"{output.name}.yaml"
    file.write_text(json.dumps(recipe), encoding="utf-8")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = ["-m", "chinese_modernbert.cli", "pretrain", "--config", str(file)]
    words = [sys.executable, *(launch if processes > 1 else []), *command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", MARK: uuid.uuid4().hex}
    with (output.parent / f"{output.name}.txt").open("ab") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env=environment, start_new_session=True)
    process.mark = environment[MARK]  # pyright: ignore[reportAttributeAccessIssue]
    return process


def processes_of(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return every process of a run: torchrun's workers have sessions of their own, their environment is inherited."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == run.mark:  # pyright: ignore[reportAttributeAccessIssue]
                found.append(process)
    return found


def kill_all(run: subprocess.Popen[bytes]) -> None:
    """Kill every process of a run, and those that they start meanwhile."""
    while found := processes_of(run):
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    run.wait()


def kill_one_rank(run: subprocess.Popen[bytes], chance: random.Random) -> None:
    """Kill one process that trains; every other one must end by itself.

    Raises:
        RuntimeError: If one does not.
    """
    ranks = [process for process in psutil.Process(run.pid).children() if "pretrain" in process.cmdline()]
    chance.choice(sorted(ranks, key=lambda process: process.pid)).kill()
    wait_until(lambda: not processes_of(run), "the others end after one rank was killed")
    run.wait()


def wait_until(reached: Callable[[], object], what: str, pause: float = 0.01) -> None:
    """Wait for a condition.

    Raises:
        RuntimeError: If it does not come.
    """
    deadline = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{PATIENCE} seconds passed before {what}")
        time.sleep(pause)


def step_of(output: Path) -> int:
    """Return the last step in a run's log."""
    log = output / "training_log.jsonl"
    steps = [line["step"] for line in read_training_log(log)] if log.exists() else []
    return max(steps, default=0)


def kill_once(data: Path, output: Path, processes: int, number: int, seed: int) -> Kill | None:
    """Start the run and kill it; None if it came to its end before.

    Raises:
        RuntimeError: If it failed, or hangs.
    """
    chance = random.Random(f"{seed}-{processes}-{number}")
    moment = chance.choice(MOMENTS if processes > 1 else MOMENTS[:-1])
    begin, began = step_of(output), time.monotonic()
    run = start(data, output, processes)
    wanted, seconds = begin + chance.randrange(1, 9), chance.uniform(0.0, 12.0)
    reached = {
        "start": lambda: time.monotonic() - began > seconds,
        "step": lambda: step_of(output) >= wanted,
        "writing": lambda: step_of(output) > begin and (output / WRITING).exists(),
        "rank": lambda: step_of(output) >= wanted,
    }[moment]
    try:
        wait_until(lambda: run.poll() is not None or reached(), f"kill {number} ({moment})", 0.001)
        time.sleep(chance.uniform(0.0, 0.1 if moment == "writing" else 0.3))
        if run.poll() is not None:
            if run.returncode:
                raise RuntimeError(f"the run ended with {run.returncode} before kill {number}; see {output}.txt")
            return None
        if moment == "rank":
            kill_one_rank(run, chance)
    finally:
        kill_all(run)
    half = (output / WRITING).exists()
    damage = damage_newest(output, chance) if chance.random() < 0.5 else None
    run_number = int(output.name.rpartition("-")[2])
    return Kill(number, run_number, moment, step_of(output), half, damage, round(time.monotonic() - began, 1))


def damage_newest(output: Path, chance: random.Random) -> str | None:
    """Damage the newest whole checkpoint where another is left to go on from; return what was done."""
    whole = [path for path in numbered_checkpoints(output) if find_damage(path, check_hashes=True) is None]
    if len(whole) < 2:
        return None
    file = chance.choice(sorted(path for path in whole[-1].iterdir() if path.is_file() and path.stat().st_size))
    content = bytearray(file.read_bytes())
    way = chance.choice(("cut", "flip", "zero", "delete", "seal"))
    if way == "cut":
        file.write_bytes(content[: chance.randrange(len(content))])
    elif way == "flip":
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        file.write_bytes(content)
    elif way == "zero":
        file.write_bytes(bytes(len(content)))
    else:
        file = whole[-1] / SEAL if way == "seal" else file
        file.unlink()
    return f"{way} {file.name}"


def compare(straight: Path, tortured: Path) -> list[str]:
    """Return what differs between two finished runs."""
    lines = []
    for run in (straight, tortured):
        logged = [line for line in read_training_log(run) if "loss" in line]
        lines.append([tuple(line[name] for name in COMPARED) for line in logged])
    first, second = (load_file(run / "final" / "model.safetensors") for run in (straight, tortured))
    found = [name for name in first if name not in second or not torch.equal(first[name], second[name])]
    if lines[0] != lines[1]:
        found.append(f"{sum(one != other for one, other in zip(*lines, strict=False))} of {STEPS} log lines")
    return [*found, *filter(None, [find_damage(tortured / "final", check_hashes=True)])]


def torture(work: Path, processes: int, kills: int, seed: int) -> None:
    """Kill runs on a number of processes until there are enough kills, from where the file of kills ends."""
    record, results = work / f"kills-{processes}.jsonl", work / f"runs-{processes}.jsonl"
    straight = work / f"straight-{processes}"
    if not (straight / "final").is_dir() and start(work / "data", straight, processes).wait():
        raise RuntimeError(f"the straight run failed; see {straight}.txt")
    while True:
        number, run = (len(lines_of(file)) for file in (record, results))
        output = work / f"tortured-{processes}-{run}"
        killed = kill_once(work / "data", output, processes, number, seed) if number < kills else None
        if killed is not None:
            append(record, asdict(killed))
            continue
        if not (output / "final").is_dir() and start(work / "data", output, processes).wait():
            raise RuntimeError(f"the run did not go on; see {output}.txt")
        different = compare(straight, output)
        append(results, {"run": run, "different": different})
        if different:
            raise RuntimeError(f"{output} differs from {straight}: {', '.join(different)}")
        shutil.rmtree(output)
        if number >= kills:
            return


def lines_of(file: Path) -> list[dict[str, object]]:
    """Return the lines of a file of JSON; none if it is not there."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def append(file: Path, line: dict[str, object]) -> None:
    """Add a line to a file of JSON."""
    with file.open("a") as stream:
        stream.write(json.dumps(line) + "\n")


def table(work: Path, counts: list[int]) -> str:
    """Return what was done so far and what was found, as Markdown."""
    rows = [
        "| processes | kills | moments | half-written | damaged | runs equal |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for count in counts:
        kills, runs = lines_of(work / f"kills-{count}.jsonl"), lines_of(work / f"runs-{count}.jsonl")
        moments = collections.Counter(kill["moment"] for kill in kills)
        damages = collections.Counter(str(kill["damage"]).split()[0] for kill in kills if kill["damage"])
        equal = sum(not run["different"] for run in runs)
        shown = [
            ", ".join(f"{name} {number}" for name, number in sorted(found.items())) for found in (moments, damages)
        ]
        half = sum(bool(kill["half_written"]) for kill in kills)
        rows.append(f"| {count} | {len(kills)} | {shown[0]} | {half} | {shown[1]} | {equal} of {len(runs)} |")
    return "\n".join(rows)


def main() -> None:
    """Compare tortured runs with a straight one, on each number of processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=20, help="on each number of processes")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        make_data(options.work / "data")
        for processes in options.processes:
            torture(options.work, processes, options.kills, options.seed)
    except KeyboardInterrupt:
        print("stopped; the same command goes on")
    finally:
        print(table(options.work, options.processes))


if __name__ == "__main__":
    main()

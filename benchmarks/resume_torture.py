"""Kill a pre-training run at random moments, go on, and compare losses and weights bit for bit with the straight run.

    python benchmarks/resume_torture.py --work FOLDER [--kills 20] [--seed 0]

A tiny model in two stages with dropout and two workers of the data loader, on one process and on two (torchrun, gloo):
half of the kills each. A kill is SIGKILL to every process of the run, at a random moment after a random number of new
log lines, so it also falls into the writing of checkpoints and of the log.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from chinese_modernbert.tokenization import TokenizerArguments, run_tokenizer_training
from chinese_modernbert.trainers.data.prepare import PrepareArguments, run_prepare
from chinese_modernbert.trainers.pretraining.log import read_training_log

STEPS = 160
COMPARED = ("step", "loss", "grad_norm", "learning_rate", "mask_rate", "packing_efficiency")
TEXTS = [f"第{i}条：老虎是哺乳动物，共有{i * 37 % 101}只。北京有{i}条大街，{i % 9}座山。" for i in range(600)]


def make_data(folder: Path) -> None:
    """Write a tokenizer and shards."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus.jsonl"
    corpus.write_text("\n".join(json.dumps({"text": text}) for text in TEXTS), encoding="utf-8")
    tokenizer = str(folder / "tokenizer")
    run_tokenizer_training(TokenizerArguments([str(corpus)], tokenizer, overwrite=True, vocab_size=384))
    run_prepare(PrepareArguments([str(corpus)], tokenizer, str(folder / "shards"), prepare_workers=0, overwrite=True))


def start(data: Path, output: Path, processes: int) -> subprocess.Popen[bytes]:
    """Start the run, or go on with it."""
    recipe = {
        "data": str(data / "shards"),
        "tokenizer": str(data / "tokenizer"),
        "output_dir": str(output),
        "model": "tiny",
        "model_overrides": {
            "num_hidden_layers": 2,
            "hidden_size": 64,
            "intermediate_size": 96,
            "embedding_dropout": 0.1,
        },
        "stages": [{"context_length": 64, "share": 0.5}, {"context_length": 128, "share": 0.5}],
        "tokens_per_micro_batch": 256,
        "gradient_accumulation_steps": 2 // processes,
        "max_steps": STEPS,
        "learning_rate": 5e-3,
        "logging_steps": 1,
        "save_steps": 7,
        "save_total_limit": 2,
        "dataloader_num_workers": 2,
        "maximum_single_token_share": None,
        "seed": 3,
        "resume": "auto",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    file = output.parent / f"{output.name}.yaml"
    file.write_text(json.dumps(recipe), encoding="utf-8")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"] if processes == 2 else []
    command = [sys.executable, *launch, "-m", "chinese_modernbert.cli", "pretrain", "--config", str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (output.parent / f"{output.name}.txt").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kill every process of a run: torchrun's workers have groups of their own."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.split()
    parents = dict(zip(map(int, listed[::2]), map(int, listed[1::2]), strict=True))
    doomed = {process.pid}
    while found := {pid for pid, parent in parents.items() if parent in doomed} - doomed:
        doomed |= found
    for pid in doomed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def step_of(output: Path) -> int:
    """Return the last step in a run's log."""
    log = output / "training_log.jsonl"
    steps = [line["step"] for line in read_training_log(log)] if log.exists() else []
    return max(steps, default=0)


def torture(data: Path, output: Path, processes: int, kills: int, chance: random.Random) -> list[int]:
    """Kill and go on until the run is finished; return the steps at which it was killed."""
    killed: list[int] = []
    while len(killed) < kills:
        process, begin = start(data, output, processes), step_of(output)
        enough = begin + chance.randrange(1, max(2, STEPS // (2 * kills)))
        while process.poll() is None and step_of(output) < enough:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.3)
        if process.poll() is not None:
            break
        kill_all(process)
        killed.append(step_of(output))
    if start(data, output, processes).wait():
        raise RuntimeError(f"the run did not go on; see {output}.txt")
    return killed


def main() -> None:
    """Compare a tortured run with a straight one, on one and on two processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, data = random.Random(options.seed), options.work / "data"
    make_data(data)
    print("| processes | kills at steps | log lines equal | tensors equal |\n| --- | --- | --- | --- |")
    for processes in (1, 2):
        straight, tortured = options.work / f"straight-{processes}", options.work / f"tortured-{processes}"
        if start(data, straight, processes).wait():
            raise RuntimeError(f"the straight run failed; see {straight}.txt")
        killed = torture(data, tortured, processes, options.kills // 2, chance)
        lines = []
        for run in (straight, tortured):
            logged = [line for line in read_training_log(run) if "loss" in line]
            lines.append([tuple(line[name] for name in COMPARED) for line in logged])
        same_lines = sum(one == other for one, other in zip(*lines, strict=True))
        first, second = (load_file(run / "final" / "model.safetensors") for run in (straight, tortured))
        same = sum(torch.equal(first[name], second[name]) for name in first)
        shown = ", ".join(map(str, killed))
        print(
            f"| {processes} | {len(killed)}: {shown} | {same_lines} of {STEPS} | {same} of {len(first)} |", flush=True
        )


if __name__ == "__main__":
    main()

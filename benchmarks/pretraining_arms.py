r"""The paper's choices at small scale: arms that differ from the paper's recipe in one thing, equal positions, seeds.

python benchmarks/pretraining_arms.py --work FOLDER --data SHARDS --eval_data SHARDS --tokenizer FOLDER \
    [--seeds 3] [--jobs 2] [--results FILE.jsonl]

Every run is the command `chinese-modernbert pretrain` with benchmarks/pretraining_arms.yaml. Stop it at any time and
start it again with the same words: finished runs are read from the results file, a run that was cut off goes on from
its last checkpoint. All runs are evaluated under the same masks (whole words, 15 %, 80/10/10, rows of 1,024).
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RECIPE = HERE / "pretraining_arms.yaml"
PAPER = "paper"
ARMS: dict[str, tuple[str, dict[str, str]]] = {
    PAPER: ("whole words, 15 -> 30 -> 15 %, damped cosine, two stages, 80/10/10", {}),
    # Single-token units are meant here, so the guard against lost word starts is off.
    "token_masking": (
        "single tokens in place of whole words",
        {"masking_options": "{units: tokens}", "maximum_single_token_share": "null"},
    ),
    "constant_15": ("15 % all the time", {"masking_options": "{low: 0.15, high: 0.15}"}),
    "falling_30_15": ("30 -> 15 % without the rise", {"masking_options": "{warmup_share: 0.0}"}),
    "cosine": ("one half cosine down to the same floor", {"lr_schedule": "cosine"}),
    "warmup_stable_decay": ("flat, then 1 - sqrt in the last fifth", {"lr_schedule": "warmup_stable_decay"}),
    "short_only": (
        "256 tokens all the time",
        {"stages": "[{context_length: 256, share: 1.0, global_rope_theta: 10000, local_rope_theta: 10000}]"},
    ),
    "free_mean": (
        "the residual stream may have a mean",
        {"model_overrides": "{max_position_embeddings: 1024, zero_mean_residual: false}"},
    ),
    "all_mask": ("100/0/0 in place of 80/10/10", {"masking_options": "{mix: [1.0, 0.0, 0.0]}"}),
}
_writing = threading.Lock()


def run_one(arm: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Pre-train one arm with one seed, or go on with it, and return its last evaluation."""
    output = options.work / f"{arm}-{seed}"
    output.mkdir(parents=True, exist_ok=True)
    words = {
        "data": options.data,
        "eval_data": options.eval_data,
        "tokenizer": options.tokenizer,
        "output_dir": str(output / "run"),
        "seed": str(seed),
        "resume": "auto",
        **ARMS[arm][1],
    }
    command = [sys.executable, "-m", "chinese_modernbert.cli", "pretrain", "--config", str(RECIPE)]
    command += [word for name, value in words.items() for word in (f"--{name}", value)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    began = time.perf_counter()
    with (output / "log.txt").open("a", encoding="utf-8") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log, env=environment)
    lines = (output / "run" / "training_log.jsonl").read_text(encoding="utf-8").split("\n")
    logged = [json.loads(line) for line in lines if line]
    scores = next(line for line in reversed(logged) if "eval_loss" in line)
    kept = {name: value for name, value in scores.items() if "/" not in name or "position" in name}
    last = next(line for line in reversed(logged) if "loss" in line)
    return {
        "arm": arm,
        "seed": seed,
        "changes": ARMS[arm][1],
        "positions": last["positions_seen"],
        "seconds_of_last_piece": round(time.perf_counter() - began, 1),
        **kept,
    }


def finished(results: Path) -> set[tuple[str, int]]:
    """Return the (arm, seed) pairs that the results file holds."""
    if not results.exists():
        return set()
    lines = (json.loads(line) for line in results.read_text(encoding="utf-8").split("\n") if line)
    return {(line["arm"], line["seed"]) for line in lines}


def main() -> None:
    """Run what is not finished, seed by seed, so that a cut leaves complete comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "eval_data", "tokenizer"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for runs and checkpoints")
    parser.add_argument("--results", type=Path, required=True, help="JSON lines, one a finished run; added to")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    options = parser.parse_args()
    done = finished(options.results)
    waiting = [(arm, seed) for seed in range(1, options.seeds + 1) for arm in options.arms if (arm, seed) not in done]

    def work(pair: tuple[str, int]) -> str:
        try:
            result = run_one(*pair, options)
        except subprocess.CalledProcessError as error:
            return f"{pair} failed with code {error.returncode}; see {options.work}/{pair[0]}-{pair[1]}/log.txt"
        with _writing, options.results.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(result) + "\n")
        return f"{pair} finished"

    with ThreadPoolExecutor(options.jobs) as pool:
        for future in as_completed([pool.submit(work, pair) for pair in waiting]):
            print(future.result(), flush=True)


if __name__ == "__main__":
    main()

r"""Arms of pre-training that differ from one recipe in one thing: equal positions, seeds, one table of results.

python benchmarks/pretraining_arms.py benchmarks/arms/paper.yaml --work FOLDER --data SHARDS --eval_data SHARDS \
    --tokenizer FOLDER --results FILE.jsonl [--seeds 3] [--jobs 2] [--arms NAME ...] [--pairs 50]

The file names a recipe and the arms: of each what it is about and the options that it changes. Every run is the command
`chinese-modernbert pretrain`. Stop it at any time and start it again with the same words: finished runs are read from
the results file, a run that was cut off goes on from its last checkpoint. All runs are evaluated under the same masks
(whole words, 15 %, 80/10/10), and with --pairs on so many minimal pairs of each paradigm of ZhoBLiMP.
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
from typing import IO, Any

import yaml

PAIRS = Path("zhoblimp") / "zhoblimp.jsonl.gz"
_writing = threading.Lock()


def run_one(arm: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Pre-train one arm with one seed, or go on with it, and return its last evaluation."""
    output = options.work / f"{arm}-{seed}"
    output.mkdir(parents=True, exist_ok=True)
    changes = options.changes[arm]
    words = {
        "data": options.data,
        "eval_data": options.eval_data,
        "tokenizer": options.tokenizer,
        "output_dir": str(output / "run"),
        "seed": str(seed),
        "resume": "auto",
        **{name: value if isinstance(value, str) else json.dumps(value) for name, value in changes.items()},
    }
    recipe = output / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(options.recipe), encoding="utf-8")
    command = [sys.executable, "-m", "chinese_modernbert.cli", "pretrain", "--config", str(recipe)]
    command += [word for name, value in words.items() for word in (f"--{name}", value)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    began = time.perf_counter()
    with (output / "log.txt").open("a", encoding="utf-8") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log, env=environment)
        seconds = time.perf_counter() - began
        pairs = score_pairs(output, options.pairs, environment, log) if options.pairs else {}
    lines = (output / "run" / "training_log.jsonl").read_text(encoding="utf-8").split("\n")
    logged = [json.loads(line) for line in lines if line]
    scores = next(line for line in reversed(logged) if "eval_loss" in line)
    kept = {name: value for name, value in scores.items() if "/" not in name or "position" in name}
    last = next(line for line in reversed(logged) if "loss" in line)
    return {
        "arm": arm,
        "seed": seed,
        "changes": changes,
        "positions": last["positions_seen"],
        "seconds_of_last_piece": round(seconds, 1),
        **kept,
        **pairs,
    }


def score_pairs(output: Path, limit: int, environment: dict[str, str], log: IO[str]) -> dict[str, float]:
    """Return the shares of minimal pairs that a finished run has right, by masking and score."""
    data = str(Path(os.environ["CHINESE_MODERNBERT_DATA"]) / PAIRS)
    command = [sys.executable, "-m", "chinese_modernbert.cli", "minimal-pairs", str(output / "run" / "final")]
    command += ["--data", data, "--limit", str(limit), "--output_dir", str(output / "pairs"), "--overwrite"]
    subprocess.run(command, check=True, stdout=log, stderr=log, env=environment)
    report = json.loads((output / "pairs" / "report.json").read_text(encoding="utf-8"))
    return {
        f"pairs_{masking}_{score}": one["overall"]["value"]
        for masking, scores in report["models"][0]["scores"].items()
        for score, one in scores.items()
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
    parser.add_argument("file", type=Path, help="YAML with a recipe and arms; see benchmarks/arms")
    for name in ("data", "eval_data", "tokenizer"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for runs and checkpoints")
    parser.add_argument("--results", type=Path, required=True, help="JSON lines, one a finished run; added to")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--arms", nargs="+", help="names of arms; default: all of the file")
    parser.add_argument("--pairs", type=int, default=0, help="minimal pairs of each paradigm; 0: none")
    options = parser.parse_args()
    described = yaml.safe_load(options.file.read_text(encoding="utf-8"))
    options.recipe = described["recipe"]
    options.changes = {name: arm["changes"] for name, arm in described["arms"].items()}
    options.arms = options.arms or list(options.changes)
    if unknown := set(options.arms) - set(options.changes):
        parser.error(f"{options.file} has no arm {', '.join(sorted(unknown))}; it has {', '.join(options.changes)}")
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

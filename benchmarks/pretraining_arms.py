r"""Arms of pre-training that differ from one recipe in one thing: equal positions, seeds, one table of results.

python benchmarks/pretraining_arms.py benchmarks/arms/paper.yaml --work FOLDER --data SHARDS --eval_data SHARDS \
    --tokenizer FOLDER --results FILE.jsonl [--seeds 3] [--jobs 2] [--arms NAME ...] [--pairs 50]

The file names a recipe and the arms: of each what it is about and the options that it changes. Every run is the command
`chinese-modernbert pretrain`. Stop it at any time and start it again with the same words: finished runs are read from
the results file, a run that was cut off goes on from its last checkpoint. All runs are evaluated in rows of one length
under the same masks (whole words, 15 %, 80/10/10), and with --pairs on so many minimal pairs of each paradigm of
ZhoBLiMP, the average of the weights where that is what is evaluated.
"""

import argparse
import hashlib
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

from chinese_modernbert.trainers.data.shards import MANIFEST
from chinese_modernbert.trainers.pretraining.run import FINAL, FINAL_AVERAGED

DATA_FOLDER = "CHINESE_MODERNBERT_DATA"
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
        is_averaged = {**options.recipe, **changes}.get("ema_evaluation", False)
        model = output / "run" / (FINAL_AVERAGED if is_averaged else FINAL)
        pairs = score_pairs(model, options.pairs, environment, log) if options.pairs else {}
    lines = (output / "run" / "training_log.jsonl").read_text(encoding="utf-8").split("\n")
    logged = [json.loads(line) for line in lines if line]
    scores = next(line for line in reversed(logged) if "eval_loss" in line)
    kept = {name: value for name, value in scores.items() if "/" not in name or "position" in name}
    last = next(line for line in reversed(logged) if "loss" in line)
    return {
        "arm": arm,
        "seed": seed,
        "changes": changes,
        "settings": settings_of(arm, options),
        "positions": last["positions_seen"],
        "seconds_of_last_piece": round(seconds, 1),
        **kept,
        **pairs,
    }


def score_pairs(model: Path, limit: int, environment: dict[str, str], log: IO[str]) -> dict[str, float]:
    """Return the shares of minimal pairs that the weights of a finished run have right, by masking and score."""
    data, output = str(Path(os.environ[DATA_FOLDER]) / PAIRS), model.parents[1] / "pairs"
    command = [sys.executable, "-m", "chinese_modernbert.cli", "minimal-pairs", str(model)]
    command += ["--data", data, "--limit", str(limit), "--output_dir", str(output), "--overwrite"]
    subprocess.run(command, check=True, stdout=log, stderr=log, env=environment)
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    return {
        f"pairs_{masking}_{score}": one["overall"]["value"]
        for masking, scores in report["models"][0]["scores"].items()
        for score, one in scores.items()
    }


def settings_of(arm: str, options: argparse.Namespace) -> str:
    """Return 16 hexadecimal digits that name what an arm trains with and is scored on."""
    manifests = [
        hashlib.sha256((Path(one) / MANIFEST).read_bytes()).hexdigest() for one in (options.data, options.eval_data)
    ]
    content = json.dumps([options.recipe, options.changes[arm], options.pairs, *manifests], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def finished(options: argparse.Namespace) -> set[tuple[str, int]]:
    """Return the (arm, seed) pairs that the results file holds.

    Raises:
        ValueError: If a run of these arms was made with other settings: it would stand in the place of another.
    """
    if not options.results.exists():
        return set()
    lines = [json.loads(line) for line in options.results.read_text(encoding="utf-8").split("\n") if line]
    for line in lines:
        arm = line["arm"]
        if arm in options.arms and (
            line["changes"] != options.changes[arm] or line.get("settings") not in (None, settings_of(arm, options))
        ):
            raise ValueError(
                f"{options.results} holds {arm}, seed {line['seed']}, with another recipe, other changes, data or "
                "--pairs; give another --results and --work"
            )
    return {(line["arm"], line["seed"]) for line in lines}


def check_arms(options: argparse.Namespace) -> None:
    """Refuse what would be found after hours, or make figures that cannot be compared.

    Raises:
        ValueError: For an unknown arm, arms that are evaluated in rows of different lengths, or pairs that are missing.
    """
    if unknown := set(options.arms) - set(options.changes):
        known = ", ".join(options.changes)
        raise ValueError(f"{options.file} has no arm {', '.join(sorted(unknown))}; it has {known}")
    lengths: dict[int, list[str]] = {}
    for arm in options.arms:
        chosen = {**options.recipe, **options.changes[arm]}
        longest = max(stage["context_length"] for stage in chosen["stages"])
        lengths.setdefault(chosen.get("eval_context_length") or longest, []).append(arm)
    if len(lengths) > 1:
        told = "; ".join(f"{length}: {', '.join(arms)}" for length, arms in lengths.items())
        raise ValueError(f"arms are evaluated in rows of different lengths ({told}); give eval_context_length")
    pairs = Path(os.environ.get(DATA_FOLDER, "")) / PAIRS
    if options.pairs and not (os.environ.get(DATA_FOLDER) and pairs.is_file()):
        raise ValueError(f"--pairs needs {PAIRS} in the folder of {DATA_FOLDER}")


def main() -> None:
    """Run what is not finished, seed by seed, so that a cut leaves complete comparisons; ends with 1 if one failed."""
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
    try:
        check_arms(options)
        done = finished(options)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    waiting = [(arm, seed) for seed in range(1, options.seeds + 1) for arm in options.arms if (arm, seed) not in done]

    failed = []

    def work(pair: tuple[str, int]) -> str:
        try:
            result = run_one(*pair, options)
        except subprocess.CalledProcessError as error:
            failed.append(pair)
            return f"{pair} failed with code {error.returncode}; see {options.work}/{pair[0]}-{pair[1]}/log.txt"
        with _writing, options.results.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(result) + "\n")
        return f"{pair} finished"

    with ThreadPoolExecutor(options.jobs) as pool:
        for future in as_completed([pool.submit(work, pair) for pair in waiting]):
            print(future.result(), flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()

r"""What is worth knowing from a few minutes with a GPU: kernels against eager, speed, where time goes, a training run.

    make gpu                                          # or, without an installation of this package:
    python benchmarks/gpu/run.py --output FOLDER --minutes 8 [--data SHARDS --tokenizer FOLDER]

Each stage is a process of its own with a share of the time; it writes its JSON anew after every row, so that nothing is
lost when its time runs out or it fails. The last line says what is missing. On a machine without a GPU it runs on the
CPU, with `--size tiny` in a minute or two: a rehearsal, whose numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Stages in order, with their share of the time; what a stage does not use goes to those after it.
STAGES = {"parity": 0.15, "speed": 0.4, "trace": 0.1, "train": 0.35}
SECONDS_TO_END = 20


def run_stage(name: str, seconds: float, args: argparse.Namespace, package: Path) -> dict[str, object]:
    """Run one stage and return how it ended."""
    words = [sys.executable, str(HERE / f"{name}.py"), "--output", str(args.output), "--size", args.size]
    words += ["--device", args.device, "--seconds", str(round(seconds))]
    if name == "train":
        if not args.data:
            return {"stage": name, "outcome": "not run", "why": "give --data, a folder of shards, and --tokenizer"}
        words += ["--data", args.data, "--tokenizer", args.tokenizer]
    before = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(package), *([before] if before else [])])
    start = time.monotonic()
    with (args.output / f"{name}.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": path})
        try:
            code, outcome = process.wait(seconds), "finished"
            outcome = outcome if code == 0 else f"failed with {code}"
        except subprocess.TimeoutExpired:
            process.terminate()
            outcome = "out of time"
            try:
                process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return {"stage": name, "outcome": outcome, "seconds": round(time.monotonic() - start, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/gpu"), help="folder for results, logs and the trace"
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="time for all stages")
    parser.add_argument("--size", default="base", help="size of the model: base, or tiny for a rehearsal")
    parser.add_argument("--device", default="", help="cuda or cpu; the GPU if there is one")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--data", default="", help="folder of shards for the training run; none: it is left out")
    parser.add_argument("--tokenizer", default=str(ROOT / "hub_release" / "assets" / "tokenizer"))
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * args.minutes - SECONDS_TO_END
    shares = [STAGES[name] for name in args.stages]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        # The package is the checkout under its own name, where it is not installed.
        (Path(folder) / "chinese_modernbert").symlink_to(ROOT, target_is_directory=True)
        for index, name in enumerate(args.stages):
            left = deadline - time.monotonic()
            seconds = left * shares[index] / sum(shares[index:])
            results.append(
                run_stage(name, seconds, args, Path(folder)) if left > 5 else {"stage": name, "outcome": "no time left"}
            )
            print(json.dumps(results[-1]), flush=True)
            (args.output / "stages.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    missing = [f"{one['stage']} ({one['outcome']})" for one in results if one["outcome"] != "finished"]
    print(f"missing: {', '.join(missing)}" if missing else "nothing is missing")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

"""Stage 4: a pre-training run that is stopped when its time is over, with the speed that it logged."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from stage import Results, device_of, options

from chinese_modernbert.trainers.pretraining.callbacks import EXIT_TO_RESUME
from chinese_modernbert.trainers.pretraining.log import LOG_FILE, read_training_log

# What is left for the last checkpoint when the run is told to stop.
SECONDS_TO_SAVE = 15
ROWS = {"base": 65_536, "tiny": 1_024}


def lines_of(run: Path) -> int:
    """Return how many lines the log has; a rehearsal with a tiny model ends after the second."""
    file = run / LOG_FILE
    return file.read_text(encoding="utf-8").count("\n") if file.is_file() else 0


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--tokenizer", required=True)
    args = parser.parse_args()
    device, results = device_of(args), Results(args, "train")
    run = args.output / "run"
    settings = {
        "model": args.size,
        "data": args.data,
        "tokenizer": args.tokenizer,
        "output_dir": str(run),
        "overwrite": "true",
        "stages": "[{context_length: 1024, share: 1.0}]"
        if args.size == "base"
        else "[{context_length: 128, share: 1.0}]",
        "tokens_per_micro_batch": str(ROWS.get(args.size, 16_384)),
        "max_steps": "1000000",
        "warmup_steps": "100",
        "learning_rate": "1e-3",
        "logging_steps": "5",
        "save_steps": "1000000",
        "maximum_single_token_share": "null",
        "bf16": "true" if device == "cuda" else "false",
        "use_cpu": "false" if device == "cuda" else "true",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    process = subprocess.Popen([sys.executable, "-m", "chinese_modernbert.cli", "pretrain", *words])
    deadline = time.monotonic() + max(args.seconds - SECONDS_TO_SAVE, 5)
    while process.poll() is None and time.monotonic() < deadline and not (args.size == "tiny" and lines_of(run) > 1):
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    code = process.wait()
    if (run / LOG_FILE).is_file():
        shutil.copyfile(run / LOG_FILE, args.output / "training_log.jsonl")
        for line in read_training_log(run)[-3:]:
            results.add(**json.loads(json.dumps(line)))
    results.add(exit_code=code, stopped_with_a_checkpoint=code == EXIT_TO_RESUME)
    return 0 if code in (0, EXIT_TO_RESUME) and (run / LOG_FILE).is_file() else 1


if __name__ == "__main__":
    sys.exit(main())

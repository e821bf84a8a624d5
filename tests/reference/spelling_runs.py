"""Short runs of `spell train` on made pairs."""

import json
from pathlib import Path
from typing import Any

from chinese_modernbert import cli

QUIET = ["--use_cpu", "--report_to", "none", "--disable_tqdm", "true"]
# Sources differ in their numbers alone, so that near ones would leave nothing to train on.
EQUAL_ONES = ["--leakage_similarity", "1"]


def train(checkpoint: Path, output: Path, data: str, *words: str) -> int:
    options = ["--num_train_epochs", "12", "--learning_rate", "1e-2", "--masked_share", "0", *EQUAL_ONES]
    given = ["--model", str(checkpoint), "--output_dir", str(output), "--train", data]
    return cli.main(["spell", "train", *given, *options, *QUIET, *words])


def result(output: Path, seed: int = 1) -> dict[str, Any]:
    return json.loads((output / "runs" / f"seed{seed}.json").read_text(encoding="utf-8"))

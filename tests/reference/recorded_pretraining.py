"""Run by torchrun in tests: pre-train as the command does, and write down which micro-batches this process took.

Words: a JSON object of the recipe's fields, then the folder for the records, `taken-RANK.txt`, one step a line.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.runtime.process_end import ends_at_once
from chinese_modernbert.trainers.pretraining import trainer as pretraining_trainer
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from chinese_modernbert.trainers.pretraining.run import run_pretraining


@ends_at_once
def main(fields: str, folder: str) -> None:
    """Pre-train, recording."""
    record = Path(folder) / f"taken-{os.environ['RANK']}.txt"
    original = pretraining_trainer.PretrainingTrainer.get_batch_samples

    def get_batch_samples(trainer: Any, *arguments: Any) -> tuple[list, Any]:
        batches, items = original(trainer, *arguments)
        with record.open("a") as stream:
            numbers = " ".join(str(batch["facts"].micro_batch) for batch in batches)
            stream.write(f"{trainer.state.global_step} {numbers}\n")
        return batches, items

    pretraining_trainer.PretrainingTrainer.get_batch_samples = get_batch_samples
    run_pretraining(load_recipe([PretrainingArguments], None, json.loads(fields))[0])


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Run alone or by torchrun in tests: pre-train and write down what each step of this process was trained on.

Words: a JSON object of the recipe's fields, then the folder for `batches-RANK.jsonl`.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from chinese_modernbert.runtime.options import load_recipe
from chinese_modernbert.runtime.process_end import ends_at_once
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from chinese_modernbert.trainers.pretraining.run import build_trainer, check_pretraining


def digest(batch: dict[str, Any]) -> str:
    """Return a hash of what the model reads of a micro-batch, masks included."""
    names = ("input_ids", "labels", "target_positions", "cu_seq_lens_q")
    return hashlib.sha256(b"".join(batch[name].contiguous().numpy().tobytes() for name in names)).hexdigest()


@ends_at_once
def main(fields: str, folder: str) -> None:
    """Pre-train, recording."""
    arguments = load_recipe([PretrainingArguments], None, json.loads(fields))[0]
    torch.manual_seed(arguments.seed)
    trainer = build_trainer(arguments, check_pretraining(arguments))
    original, path = trainer.training_step, Path(folder) / f"batches-{os.environ.get('RANK', '0')}.jsonl"

    def training_step(model: Any, inputs: dict[str, Any], *rest: Any, **more: Any) -> torch.Tensor:
        number = inputs["facts"].micro_batch
        documents = [d for rows, row in trainer.batches.rows_of(number) for d in rows.documents_of(row).tolist()]
        line = {"step": trainer.state.global_step, "micro_batch": number, "documents": documents}
        epochs = sorted({rows.epoch for rows, _ in trainer.batches.rows_of(number)})
        with path.open("a") as stream:
            stream.write(json.dumps({**line, "epochs": epochs, "read": digest(inputs)}) + "\n")
        return original(model, inputs, *rest, **more)

    trainer.training_step = training_step
    trainer.train()


if __name__ == "__main__":
    main(*sys.argv[1:])

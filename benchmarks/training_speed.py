"""Speed of pre-training on this machine: the whole loop of `pretrain` against Transformers' own recipe, in turn.

    CHINESE_MODERNBERT_DATA=... python benchmarks/training_speed.py --output_dir results [--repeats 3]

Both sides read the validation text of CHINESE_MODERNBERT_DATA with the shipped tokenizer, in rows of 256 or 1,024
tokens, 8,192 positions per step, 20 % masked, StableAdamW and AdamW. Theirs is `Trainer` with `ModernBertForMaskedLM`
of the same shape, texts joined and cut into full rows, and `DataCollatorForLanguageModeling`. Every measurement is a
process of its own; the sides alternate, and the ratio is the median over the rounds. Counted are real tokens from the
end of step 2 to the end of the last step: reading, masking, forward, backward, update.

The ceiling is what the products of matrices alone would allow: every product of a training step, as torch computes it
in that dtype, one after the other, on the same number of tokens.
"""

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    DataCollatorForLanguageModeling,
    ModernBertConfig,
    ModernBertForMaskedLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from chinese_modernbert.cli import SHIPPED_TOKENIZER
from chinese_modernbert.runtime.environment import describe_environment
from chinese_modernbert.runtime.memory import keep_freed_memory
from chinese_modernbert.tokenization import load_tokenizer
from chinese_modernbert.trainers.data.arguments import Stage
from chinese_modernbert.trainers.data.prepare import PrepareArguments, run_prepare
from chinese_modernbert.trainers.pretraining.arguments import PretrainingArguments
from chinese_modernbert.trainers.pretraining.run import build_trainer, check_pretraining

ROWS, DTYPES, SIDES = (256, 1024), ("float32", "bfloat16"), ("theirs", "ours", "ours, compiled", "ceiling")
SHAPE = {"hidden_size": 256, "num_hidden_layers": 12, "num_attention_heads": 4, "intermediate_size": 384}
POSITIONS, MASKED, WARM_STEPS, STEPS = 8_192, 0.2, 2, 6
Results = list[dict[str, Any]]


class Clock(TrainerCallback):
    """Remembers when each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())

    def seconds(self) -> float:
        """Return the seconds of the steps after the warm ones."""
        return self.ends[-1] - self.ends[WARM_STEPS - 1]


def texts() -> list[str]:
    """Return the validation texts."""
    source = Path(os.environ["CHINESE_MODERNBERT_DATA"]) / "corpus" / "validation.jsonl.gz"
    with gzip.open(source, "rt", encoding="utf-8", newline="\n") as lines:
        return [json.loads(line)["text"] for line in lines]


def prepare(folder: Path) -> Path:
    """Return shards of the validation texts, made if they are not there."""
    if not (folder / "manifest.json").is_file():
        source = Path(os.environ["CHINESE_MODERNBERT_DATA"]) / "corpus" / "validation.jsonl.gz"
        run_prepare(PrepareArguments([str(source)], str(SHIPPED_TOKENIZER), str(folder), prepare_workers=0))
    return folder


def ours(rows: int, dtype: str, folder: Path, compiled: bool) -> float:
    """Return real tokens per second of our loop, in a process set up as the command's is."""
    keep_freed_memory()
    arguments = PretrainingArguments(
        output_dir=str(folder / "run"),
        overwrite=True,
        data=str(folder / "shards"),
        tokenizer=str(SHIPPED_TOKENIZER),
        model="base",
        model_overrides={**SHAPE, "max_position_embeddings": max(ROWS)},
        stages=[Stage(context_length=rows, share=1.0)],
        tokens_per_micro_batch=POSITIONS,
        max_steps=STEPS,
        masking="bert_wwm",
        masking_options={"rate": MASKED},
        bf16=dtype == "bfloat16",
        compile_layers=compiled,
        save_strategy="no",
        use_cpu=True,
    )
    trainer, clock = build_trainer(arguments, check_pretraining(arguments)), Clock()
    trainer.add_callback(clock)
    trainer.train()
    works = [trainer.train_dataset[index]["facts"].work for index in range(WARM_STEPS, STEPS)]
    return sum(work.tokens for work in works) / clock.seconds()


def theirs(rows: int, dtype: str, folder: Path) -> float:
    """Return tokens per second of Transformers' recipe; its rows are full."""
    tokenizer = load_tokenizer(str(SHIPPED_TOKENIZER))
    joined = [token for text in texts()[:400] for token in tokenizer(text)["input_ids"]]
    count = STEPS * POSITIONS // rows
    data = [{"input_ids": joined[first : first + rows]} for first in range(0, count * rows, rows)]
    torch.manual_seed(0)
    size = -(-len(tokenizer) // 64) * 64
    ids = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    model = ModernBertForMaskedLM(ModernBertConfig(**SHAPE, **ids, vocab_size=size))
    arguments = TrainingArguments(
        output_dir=str(folder / "their_run"),
        per_device_train_batch_size=POSITIONS // rows,
        max_steps=STEPS,
        bf16=dtype == "bfloat16",
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    clock = Clock()
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED)
    Trainer(model, arguments, train_dataset=data, data_collator=collator, callbacks=[clock]).train()
    return POSITIONS * (STEPS - WARM_STEPS) / clock.seconds()


def ceiling(dtype: str) -> float:
    """Return the tokens per second of the products alone, forward and two backward, without attention's."""
    kind, hidden, inner = getattr(torch, dtype), SHAPE["hidden_size"], SHAPE["intermediate_size"]
    layer = [(POSITIONS, hidden, 3 * hidden), (POSITIONS, hidden, hidden)]
    layer += [(POSITIONS, hidden, 2 * inner), (POSITIONS, inner, hidden)]
    masked = int(MASKED * POSITIONS)
    shapes = layer * SHAPE["num_hidden_layers"] + [(masked, hidden, hidden), (masked, hidden, 32_768)]
    made = {shape: _products(*shape, kind) for shape in set(shapes)}
    with torch.no_grad():
        for call in made.values():
            call()
        began = time.perf_counter()
        for shape in shapes:
            made[shape]()
    return POSITIONS / (time.perf_counter() - began)


def _products(tokens: int, inside: int, outside: int, dtype: torch.dtype) -> Callable[[], None]:
    """Return a call of the three products of a linear layer."""
    states, weight = torch.randn(tokens, inside, dtype=dtype), torch.randn(outside, inside, dtype=dtype)
    gradient = torch.randn(tokens, outside, dtype=dtype)

    def run() -> None:
        torch.nn.functional.linear(states, weight)
        gradient @ weight
        gradient.t() @ states

    return run


def measure(side: str, rows: int, dtype: str, folder: Path) -> float:
    """Return the tokens per second of a side in this process."""
    if side == "ceiling":
        return ceiling(dtype)
    return theirs(rows, dtype, folder) if side == "theirs" else ours(rows, dtype, folder, side != "ours")


def in_process(side: str, rows: int, dtype: str, folder: Path) -> float:
    """Return the tokens per second of a side, measured in a process of its own."""
    command = [sys.executable, __file__, "--output_dir", str(folder), "--one", side, str(rows), dtype]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}  # as `chinese-modernbert` sets it for itself
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{side} with rows of {rows} in {dtype} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.strip().split("\n")[-1])


def run_rounds(folder: Path, repeats: int, lengths: list[int]) -> Results:
    """Return a row for every length and dtype, with the medians of the sides and of their ratio to theirs."""
    found: Results = []
    for rows in lengths:
        for dtype in DTYPES:
            rounds = [{side: in_process(side, rows, dtype, folder) for side in SIDES} for _ in range(repeats)]
            medians = {side: round(statistics.median(one[side] for one in rounds), 1) for side in SIDES}
            ratios = {
                f"{side} / theirs": round(statistics.median(one[side] / one["theirs"] for one in rounds), 2)
                for side in SIDES[1:3]
            }
            shares = {
                f"{side} / ceiling": round(statistics.median(one[side] / one["ceiling"] for one in rounds), 3)
                for side in SIDES[1:3]
            }
            found.append({"rows": rows, "dtype": dtype, **medians, **ratios, **shares, "rounds": rounds})
            print(json.dumps({name: value for name, value in found[-1].items() if name != "rounds"}), flush=True)
    return found


def main() -> None:
    """Run one measurement, or all of them into `training_speed.json`."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--one", nargs=3, metavar=("SIDE", "ROWS", "DTYPE"))
    options = parser.parse_args()
    prepare(options.output_dir / "shards")
    if options.one:
        side, rows, dtype = options.one
        print(measure(side, int(rows), dtype, options.output_dir))
        return
    results = run_rounds(options.output_dir, options.repeats, options.rows)
    record = {"environment": describe_environment(), "results": results}
    (options.output_dir / "training_speed.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What pre-training costs: operations, GPU-hours, disk and memory for each size and budget; writes docs/budget.md.

    python benchmarks/pretraining_budget.py --output docs/budget.md

Counted from the formula of trainers/pretraining/throughput.py; measured here are bytes and characters a token
(validation text of CHINESE_MODERNBERT_DATA, prepared by the shipped tokenizer), the size of saved checkpoints, and what
autograd keeps of a token. The GPUs' share of their peak is an assumption and is written as one.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from chinese_modernbert.cli import SHIPPED_TOKENIZER
from chinese_modernbert.modeling import (
    ChineseModernBertConfig,
    ChineseModernBertForMaskedLM,
    cpu_kernels_chinese_modernbert,
)
from chinese_modernbert.trainers.data.prepare import PrepareArguments, run_prepare
from chinese_modernbert.trainers.pretraining.optimizers import build_optimizer
from chinese_modernbert.trainers.pretraining.throughput import PEAK_TERAFLOPS, Workload, training_flops

SIZES = ("small", "base", "large")
BUDGETS = {"10B": 10e9, "100B": 100e9, "300B": 300e9, "1.2T": 1.2e12}
# (context length, share of the tokens, assumed share of the GPU's peak), as in the recipes of base and large.
STAGES = ((1_024, 0.85, 0.40), (8_192, 0.15, 0.30))
# The rate climbs from 15 to 30 % and falls back in straight lines.
MEAN_MASK_RATE = 0.225
# The variants of the 910B differ, and this is the round figure assumed here.
PEAKS = {"H100": PEAK_TERAFLOPS["H100"], "A100": PEAK_TERAFLOPS["A100"], "like 910B": 320.0}
MICRO_BATCH = {"small": 65_536, "base": 65_536, "large": 32_768}
SAVED = ("tiny", "small", "base")


@dataclass
class Measured:
    """What was measured on this machine."""

    shard_bytes: float
    characters: float
    text_bytes: float
    checkpoints: dict[str, tuple[int, int]]
    kept_bytes: dict[str, float]


def operations_per_token(size: str, context: int) -> float:
    """Return the operations of training on a token where every document fills its row, the most expensive case."""
    config, work = ChineseModernBertConfig.preset(size), Workload()
    documents = np.zeros((1, context), dtype=np.int64)
    work.add(documents, int(MEAN_MASK_RATE * context), config.local_attention // 2)
    return training_flops(config, work) / context


def gpu_hours(size: str, tokens: float, peak: float) -> float:
    """Return the hours of one GPU."""
    spent = ((tokens * share * operations_per_token(size, length), mfu) for length, share, mfu in STAGES)
    return sum(operations / (peak * 1e12 * mfu) for operations, mfu in spent) / 3600


def measure_shards(folder: Path) -> tuple[float, float, float]:
    """Return bytes of shards, characters and bytes of text, each for one token."""
    source = Path(os.environ["CHINESE_MODERNBERT_DATA"]) / "corpus" / "validation.jsonl.gz"
    with gzip.open(source, "rt", encoding="utf-8", newline="\n") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    run_prepare(PrepareArguments([str(source)], str(SHIPPED_TOKENIZER), str(folder / "shards"), prepare_workers=0))
    manifest = json.loads((folder / "shards" / "manifest.json").read_text(encoding="utf-8"))
    tokens = sum(entry["tokens"] for entry in manifest["shards"])
    # One table of counts a shard, a quarter of a megabyte, is nothing beside a full shard and much beside this one.
    stored = sum(path.stat().st_size for path in (folder / "shards").iterdir() if not path.match("*.counts.bin"))
    return stored / tokens, sum(map(len, texts)) / tokens, sum(len(text.encode()) for text in texts) / tokens


def build(size: str) -> ChineseModernBertForMaskedLM:
    """Return a new model."""
    torch.manual_seed(0)
    return ChineseModernBertForMaskedLM(ChineseModernBertConfig.preset(size))


def measure_checkpoint(size: str, folder: Path) -> tuple[int, int]:
    """Return the bytes of saved weights and of the saved state of StableAdamW, float32 as in a run."""
    model = build(size)
    optimizer = build_optimizer("stable_adamw", model, lr=1e-4)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    model.save_pretrained(folder / size)
    torch.save(optimizer.state_dict(), folder / size / "optimizer.pt")
    sizes = tuple((folder / size / name).stat().st_size for name in ("model.safetensors", "optimizer.pt"))
    (folder / size / "optimizer.pt").unlink()
    return sizes[0], sizes[1]


def measure_kept(size: str) -> float:
    """Return the bytes that autograd keeps for a token of a bfloat16 training step, masked tokens' logits included."""
    model = build(size)
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    totals = []
    for length in (256, 512):  # the difference is without the weights' copies in bfloat16
        kept: dict[int, int] = {}

        def remember(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        ids, labels = torch.full((1, length), 7), torch.full((1, length), -100)
        labels[:, : int(0.30 * length)] = 7
        hooks = torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor)
        # As on a GPU, whose kernels keep no attention weights; a CPU keeps them in bfloat16, which is faster there.
        without_weights = mock.patch.object(cpu_kernels_chinese_modernbert, "has_bfloat16_products", return_value=False)
        with hooks, without_weights, torch.autocast("cpu", torch.bfloat16):
            alive = model(input_ids=ids, labels=labels)
        totals.append(sum(kept.values()))
        del alive
    return (totals[1] - totals[0]) / 256


def measure() -> Measured:
    """Measure everything in a temporary folder."""
    with tempfile.TemporaryDirectory() as name:
        shards = measure_shards(Path(name))
        checkpoints = {size: measure_checkpoint(size, Path(name)) for size in SAVED}
    return Measured(*shards, checkpoints, {size: measure_kept(size) for size in SIZES})


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table, the first column left and the others right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def parameters_of(size: str) -> int:
    """Return the number of parameters, a tied matrix once; nothing is allocated."""
    with torch.device("meta"):
        model = ChineseModernBertForMaskedLM(ChineseModernBertConfig.preset(size))
    return sum(parameter.numel() for parameter in model.parameters())


def cost_rows() -> list[list[str]]:
    """Return the rows of sizes and budgets."""
    rows = []
    for size in SIZES:
        for name, tokens in BUDGETS.items():
            total = sum(tokens * share * operations_per_token(size, length) for length, share, _ in STAGES)
            hours = [gpu_hours(size, tokens, peak) for peak in PEAKS.values()]
            days = [f"{hours[0] / 24 / count:,.1f}" for count in (8, 64)]
            rows.append([size, name, f"{total:.2e}", *(f"{value:,.0f}" for value in hours), *days])
    return rows


def memory_rows(measured: Measured) -> list[list[str]]:
    """Return the rows of memory on one GPU, in GB of 10^9 bytes."""
    rows = []
    for size in SIZES:
        fixed, kept = 20 * parameters_of(size) / 1e9, measured.kept_bytes[size]
        batch = MICRO_BATCH[size]
        values = (fixed, kept * batch / 1e9, fixed + kept * batch / 1e9)
        rows.append([size, f"{kept / 1e3:,.0f}", f"{batch:,}", *(f"{value:,.1f}" for value in values)])
    return rows


def checkpoint_rows(measured: Measured) -> list[list[str]]:
    """Return the rows of checkpoint sizes, measured or, for the large model, counted."""
    rows = []
    for size in (*SAVED, "large"):
        parameters = parameters_of(size)
        found = measured.checkpoints.get(size, (4 * parameters, 8 * parameters))
        how = "measured" if size in SAVED else "counted"
        rows.append([size, f"{parameters / 1e6:,.1f}", *(f"{value / 1e9:,.3f}" for value in found), how])
    return rows


def render(measured: Measured) -> str:
    """Return the page."""
    disk = [
        [name, *(f"{tokens * one / 1e9:,.0f}" for one in (measured.text_bytes, measured.shard_bytes))]
        for name, tokens in BUDGETS.items()
    ]
    template = (Path(__file__).parent / "pretraining_budget.md").read_text(encoding="utf-8")
    return template.format(
        costs=table(["model", "tokens", "operations", *PEAKS, "8 x H100, days", "64 x H100, days"], cost_rows()),
        disk=table(["tokens", "text, GB", "shards, GB"], disk),
        memory=table(
            ["model", "kept per token, kB", "micro-batch", "fixed, GB", "kept, GB", "sum, GB"], memory_rows(measured)
        ),
        checkpoints=table(["model", "parameters, M", "weights, GB", "optimizer, GB", "how"], checkpoint_rows(measured)),
        peaks=", ".join(f"{name} {peak:,.0f}" for name, peak in PEAKS.items()),
        characters=f"{measured.characters:.3f}",
        text_bytes=f"{measured.text_bytes:.2f}",
        shard_bytes=f"{measured.shard_bytes:.3f}",
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/budget.md"))
    output = parser.parse_args().output
    output.write_text(render(measure()), encoding="utf-8")
    print(output)


if __name__ == "__main__":
    main()

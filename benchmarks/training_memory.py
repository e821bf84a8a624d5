"""Peak memory of one training step of one long text: forward, backward and optimizer, in a process of its own.

    python benchmarks/training_memory.py --preset base --tokens 8192 --autocast bfloat16

Prints one JSON line: on CPU the peak resident memory of the process with torch itself, on CUDA that of the allocator.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import torch

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.trainers.pretraining.optimizers.stable_adamw import StableAdamW

MASKED_SHARE = 0.30


def measure(args: argparse.Namespace) -> dict[str, object]:
    """Run the step and return its peak."""
    torch.manual_seed(0)
    config = ChineseModernBertConfig.preset(args.preset)
    model = ChineseModernBertForMaskedLM(config).to(args.device).train()
    if args.checkpointing:
        model.gradient_checkpointing_enable()
    optimizer = StableAdamW(model.parameters(), lr=1e-4)
    ids = torch.randint(5, config.vocab_size, (1, args.tokens), device=args.device)
    labels = torch.where(torch.rand(ids.shape, device=args.device) < MASKED_SHARE, ids, -100)
    built = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    half = None if args.autocast == "float32" else getattr(torch, args.autocast)
    with torch.autocast(ids.device.type, dtype=half, enabled=half is not None):
        loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    optimizer.step()
    peak = torch.cuda.max_memory_allocated() if args.device == "cuda" else None
    return {
        **vars(args),
        "loss": round(float(loss.detach()), 4),
        "seconds": round(time.perf_counter() - start, 1),
        "process_before_mebibytes": built // 1024,
        "process_peak_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "device_peak_mebibytes": None if peak is None else peak // 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="base")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--autocast", default="bfloat16", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()

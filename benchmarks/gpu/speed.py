"""Stage 2: forward and training step against Transformers' ModernBERT, and the peak of memory of ours."""

from __future__ import annotations

import time

import torch
from stage import Results, device_of, options

from chinese_modernbert.demo.arguments import SpeedArguments
from chinese_modernbert.demo.speed import measure_speed

# What matters most comes first: the time may run out.
CASES = ("mixed", "full", "long_2048", "long_8192", "short")


def main() -> None:
    args = options(__doc__).parse_args()
    device, results = device_of(args), Results(args, "speed")
    deadline = time.monotonic() + args.seconds
    sizes = [args.size, *(["large"] if args.size == "base" else [])]
    cases = CASES if args.size == "base" else CASES[:2]
    for size in sizes:
        for case in cases:
            for training in (True, False):
                if time.monotonic() > deadline:
                    return
                arguments = SpeedArguments(
                    model=size, cases=[case], dtypes=["bfloat16"], training=training, device=device, repeats=5
                )
                try:
                    if device == "cuda":
                        torch.cuda.reset_peak_memory_stats()
                    for row in measure_speed(arguments):
                        peak = torch.cuda.max_memory_allocated() // 2**20 if device == "cuda" else None
                        results.add(model=size, peak_mebibytes_of_both=peak, **row)
                except torch.OutOfMemoryError as error:
                    results.add(model=size, case=case, training=training, outcome=str(error).split("\n")[0][:200])


if __name__ == "__main__":
    main()

"""Stage 2: forward and training step against Transformers' ModernBERT, as they are and compiled, and peak memory."""

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
    cases, repeats = (CASES, 5) if args.size == "base" else (("short",), 1)  # of another size it is a rehearsal
    runs = [(size, case, training, False) for size in sizes for case in cases for training in (True, False)]
    runs[4:4] = [(args.size, case, True, True) for case in cases[:2]]  # compiled
    for size, case, training, compiled in runs:
        if time.monotonic() > deadline:
            return
        arguments = SpeedArguments(
            model=size,
            cases=[case],
            dtypes=["bfloat16"],
            training=training,
            compiled=compiled,
            device=device,
            repeats=repeats,
        )
        measure(arguments, results)


def measure(arguments: SpeedArguments, results: Results) -> None:
    """Add the rows of one case, or why there are none: memory that ran out, a compiler that is not there."""
    is_gpu = arguments.device == "cuda"
    try:
        if is_gpu:
            torch.cuda.reset_peak_memory_stats()
        for row in measure_speed(arguments):
            peak = torch.cuda.max_memory_allocated() // 2**20 if is_gpu else None
            results.add(model=arguments.model, peak_mebibytes_of_both=peak, **row)
    except RuntimeError as error:
        case, training, compiled = arguments.cases[0], arguments.training, arguments.compiled
        why = str(error).strip().split("\n")[0][:200]
        results.add(model=arguments.model, case=case, training=training, compiled=compiled, outcome=why)


if __name__ == "__main__":
    main()

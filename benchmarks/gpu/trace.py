"""Stage 3: one profiler trace of training steps, and the share of the device's time by family of kernels."""

from __future__ import annotations

import gzip
import re
from typing import Any

import torch
from stage import Results, device_of, options
from torch.profiler import ProfilerActivity, profile

from chinese_modernbert.demo.speed import make_batch
from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.trainers.pretraining.optimizers import build_optimizer
from chinese_modernbert.trainers.zero_mean_residual import center_residual

# The first family whose pattern is found in a kernel's name is the kernel's.
FAMILIES = {
    "matrix products": r"gemm|cutlass|sgemm|addmm|matmul|::mm|xmma|linear",
    "attention": r"flash|fmha|attention|softmax_warp",
    "norms": r"norm",
    "loss": r"log_softmax|nll|cross_entropy|softmax",
    "copies and indices": r"memcpy|memset|copy|index|gather|scatter|cat|nonzero|cumsum|embedding",
    "optimizer": r"foreach|multi_tensor|adam",
    "elementwise": r"elementwise|vectorized|gelu|mul|add|sub|div|sin|cos|reduce|sum|mean",
}
LARGEST_TRACE_BYTES = 15 * 2**20
STEPS = 3


def main() -> None:
    args = options(__doc__).parse_args()
    device, results = device_of(args), Results(args, "trace")
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(ChineseModernBertConfig.preset(args.size)).to(device)
    optimizer = build_optimizer("stable_adamw", model, lr=1e-4)
    ids, mask = (tensor.to(device) for tensor in make_batch("mixed"))
    chosen = torch.rand(ids.shape, generator=torch.Generator().manual_seed(0)).to(device) < 0.3
    labels = torch.where(chosen & (mask == 1), ids, -100)

    def step() -> None:
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        center_residual(model)

    step()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as profiler:
        for _ in range(STEPS):
            step()
    report(profiler, device, results)
    file = args.output / "chrome_trace.json"
    profiler.export_chrome_trace(str(file))
    packed = gzip.compress(file.read_bytes())
    file.unlink()
    if len(packed) <= LARGEST_TRACE_BYTES:
        (args.output / "chrome_trace.json.gz").write_bytes(packed)


def report(profiler: Any, device: str, results: Results) -> None:
    """Write the share of each family, and the longest kernels by name."""
    events = [event for event in profiler.key_averages() if time_of(event, device) > 0]
    total = sum(time_of(event, device) for event in events)
    shares = dict.fromkeys([*FAMILIES, "other"], 0.0)
    for event in events:
        family = next((name for name, pattern in FAMILIES.items() if re.search(pattern, event.key.lower())), "other")
        shares[family] += time_of(event, device) / total
    results.add(milliseconds_a_step=total / 1000 / STEPS, shares={name: round(one, 4) for name, one in shares.items()})
    for event in sorted(events, key=lambda event: -time_of(event, device))[:25]:
        results.add(kernel=event.key[:120], share=round(time_of(event, device) / total, 4), calls=event.count // STEPS)


def time_of(event: Any, device: str) -> float:
    """Return the microseconds that an event took by itself on the device."""
    return float(event.self_device_time_total if device == "cuda" else event.self_cpu_time_total)


if __name__ == "__main__":
    main()

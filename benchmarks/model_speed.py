"""Speed of the encoder against Transformers' ModernBERT with the same weights, in one run.

    python benchmarks/model_speed.py --preset base --cases mixed long_2048 full --dtypes float32 bfloat16

Each case runs both models in turn, several times; the ratio is the median of the pairs. The lengths of the case `mixed`
are those of validation texts of CHINESE_MODERNBERT_DATA where that is set; the ids themselves do not matter to speed.
Real tokens are counted, padding is not. Results are printed and, with --output, written as JSON.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from transformers import ModernBertConfig, ModernBertForMaskedLM

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM

TEXTS_A_BATCH = 16
MASKED_SHARE = 0.30


def real_lengths(count: int) -> list[int]:
    """Return the lengths in tokens of every 29th validation text, cut at 1,024; without the data a similar spread."""
    folder = os.environ.get("CHINESE_MODERNBERT_DATA")
    if not folder:
        return [20 + 954 * (index * 7 % count) ** 3 // (count - 1) ** 3 for index in range(count)]
    with gzip.open(Path(folder) / "corpus" / "validation.jsonl.gz", "rt", encoding="utf-8", newline="\n") as lines:
        characters = [len(json.loads(line)["text"]) for line in lines]
    return [min(max(int(length / 1.5), 3), 1024) for length in characters[::29][:count]]


def make_batch(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and padding mask, `(texts, longest)`, of a case."""
    shapes = {"long_8192": [8192], "long_2048": [2048], "full": [512] * 4, "short": [128] * 16}
    lengths = torch.tensor(shapes.get(name) or real_lengths(TEXTS_A_BATCH))
    ids = torch.randint(5, 32_000, (len(lengths), int(lengths.max())), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).long()
    return ids * mask, mask


def build_pair(preset: str, device: str, attention: str) -> dict[str, torch.nn.Module]:
    """Return Transformers' model and ours, with equal weights."""
    ours_config = ChineseModernBertConfig.preset(preset, norm_type="layernorm", global_rope_theta=160_000.0)
    fields = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    sizes = {name: getattr(ours_config, name) for name in fields}
    ids = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    torch.manual_seed(0)
    theirs = ModernBertForMaskedLM(
        ModernBertConfig(**sizes, **ids, sparse_prediction=True, attn_implementation=attention)
    )
    ours = ChineseModernBertForMaskedLM(ours_config)
    ours.load_state_dict(theirs.state_dict())
    return {"transformers": theirs.to(device), "ours": ours.to(device)}


def forward_of(model: torch.nn.Module, ids: torch.Tensor, mask: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Return a call that encodes the batch."""

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return model.eval().model(input_ids=ids, attention_mask=mask).last_hidden_state

    return run


def training_step_of(
    model: torch.nn.Module, ids: torch.Tensor, mask: torch.Tensor, autocast: torch.dtype | None
) -> Callable[[], torch.Tensor]:
    """Return a call that does forward and backward of the masked-language-model loss."""
    chosen = torch.rand(ids.shape, generator=torch.Generator().manual_seed(1)).to(ids.device) < MASKED_SHARE
    labels = torch.where(chosen & (mask == 1), ids, -100)

    def run() -> torch.Tensor:
        model.train().zero_grad()
        with torch.autocast(ids.device.type, dtype=autocast, enabled=autocast is not None):
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        return loss.detach()

    return run


def seconds(call: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    """Time one call, the device's queue included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


def compare(calls: dict[str, Callable[[], torch.Tensor]], repeats: int, tokens: int) -> dict[str, float]:
    """Run both in turn and return the median ratio with both medians, in tokens a second."""
    for call in calls.values():
        call()
    rounds = [{name: seconds(call)[0] for name, call in calls.items()} for _ in range(repeats)]
    medians = {name: statistics.median(one[name] for one in rounds) for name in calls}
    ratios = [one["transformers"] / one["ours"] for one in rounds]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "transformers_tokens_per_second": round(tokens / medians["transformers"], 1),
        "ours_tokens_per_second": round(tokens / medians["ours"], 1),
    }


def measure(args: argparse.Namespace) -> list[dict[str, object]]:
    """Measure every case in every dtype."""
    rows = []
    for dtype_name in args.dtypes:
        dtype = getattr(torch, dtype_name)
        pair = build_pair(args.preset, args.device, args.attention)
        if not args.training:
            pair = {name: model.to(dtype) for name, model in pair.items()}
        for case in args.cases:
            ids, mask = (tensor.to(args.device) for tensor in make_batch(case))
            real = mask.bool()
            calls = {name: forward_of(model, ids, mask) for name, model in pair.items()}
            if args.training:
                half = dtype if dtype != torch.float32 else None
                calls = {name: training_step_of(model, ids, mask, half) for name, model in pair.items()}
            first = {name: call().float() for name, call in calls.items()}
            gap = first["ours"] - first["transformers"]
            difference = float((gap if args.training else gap[real]).abs().max())
            row = {"case": case, "dtype": dtype_name, "kind": "training step" if args.training else "forward"}
            row |= compare(calls, args.repeats, int(mask.sum())) | {"largest_difference": difference}
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="base")
    parser.add_argument("--cases", nargs="+", default=["mixed", "long_2048", "full", "long_8192"])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--training", action="store_true", help="forward and backward of the loss at 30 % masking")
    parser.add_argument("--attention", default="sdpa", help="kernel of Transformers' model")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", help="JSON file for the results")
    args = parser.parse_args()
    rows = measure(args)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    record = {
        "commit": commit,
        "command": " ".join(["python", *os.sys.argv]),  # pyright: ignore[reportAttributeAccessIssue]
        "machine": f"{os.cpu_count()} x {platform.processor() or platform.machine()}",
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peak_memory_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rows": rows,
    }
    if args.output:
        Path(args.output).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

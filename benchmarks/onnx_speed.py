"""Speed of ONNX graphs against torch on CPU: our model in float32, onnxruntime in float32 and in int8, in one run.

    python benchmarks/onnx_speed.py --presets small base --batches 1 8 --lengths 16 32 64 128

Random weights; all rows are full. The contestants take turns, round by round, so that what else runs on the machine
meets them all; a ratio is the median over rounds of torch's time by the contestant's. The cosine is the lowest of a
text against torch, all of its tokens as one vector.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from chinese_modernbert.hub_release.onnx.graphs import export_graphs
from chinese_modernbert.hub_release.onnx.isolated_check import agreement, open_graph, run_graph
from chinese_modernbert.hub_release.onnx.quantization import quantize_graph
from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM


def write_graphs(model: ChineseModernBertForMaskedLM, folder: Path) -> dict[str, Path]:
    """Write the encoder in both precisions and return the files."""
    graph = export_graphs(model, ("encoder",))["encoder"]
    files = {}
    for name, one in (("float32", graph), ("int8", quantize_graph(graph))):
        files[name] = folder / f"{name}.onnx"
        files[name].write_bytes(one.SerializeToString())
    return files


def torch_call(model: ChineseModernBertForMaskedLM, ids: np.ndarray, mask: np.ndarray) -> Callable[[], np.ndarray]:
    inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}

    def run() -> np.ndarray:
        with torch.inference_mode():
            return model.model(**inputs).last_hidden_state.numpy()

    return run


def compare(calls: dict[str, Callable[[], np.ndarray]], mask: np.ndarray, repeats: int) -> dict[str, object]:
    """Return medians in milliseconds, ratios with their range, and cosines."""
    results = {name: call() for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - start))
    row: dict[str, object] = {"torch_ms": round(statistics.median(times["torch"]), 1)}
    for name in [name for name in calls if name != "torch"]:
        ratios = [mine / theirs for mine, theirs in zip(times["torch"], times[name], strict=True)]
        row[f"{name}_ms"] = round(statistics.median(times[name]), 1)
        row[f"{name}_ratio"] = [round(pick(ratios), 2) for pick in (statistics.median, min, max)]
        row[f"{name}_cosine"] = round(agreement(results[name], results["torch"], mask).cosine, 5)
    return row


def measure(preset: str, args: argparse.Namespace, folder: Path) -> None:
    """Measure one size and print a line a shape."""
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(ChineseModernBertConfig.preset(preset)).eval()
    files = write_graphs(model, folder)
    weights = sum(parameter.numel() for parameter in model.model.parameters())
    sizes = {name: round(path.stat().st_size / 1e6, 1) for name, path in files.items()}
    print(json.dumps({"preset": preset, "megabytes": {"weights in float32": round(weights * 4e-6, 1), **sizes}}))
    sessions = {name: open_graph(path, args.threads) for name, path in files.items()}
    for batch in args.batches:
        for length in args.lengths:
            ids = np.random.default_rng(0).integers(5, 32_000, (batch, length))
            mask = np.ones_like(ids)
            calls = {"torch": torch_call(model, ids, mask)}
            calls |= {
                name: lambda one=one, ids=ids, mask=mask: run_graph(one, ids, mask) for name, one in sessions.items()
            }
            row = {"preset": preset, "batch": batch, "tokens": length} | compare(calls, mask, args.repeats)
            print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["small", "base"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--lengths", nargs="+", type=int, default=[16, 32, 64, 128])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    versions = {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__}
    print(json.dumps({"commit": commit, "command": sys.argv, "load": os.getloadavg()[0], **versions}))
    for preset in args.presets:
        with tempfile.TemporaryDirectory() as folder:
            measure(preset, args, Path(folder))
    print(json.dumps({"load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()

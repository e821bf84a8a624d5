r"""Speed of each runtime on the same release and the same work on CPU: which one to take for which length.

    make runtimes                                 # once: builds the environment with OpenVINO
    python benchmarks/runtime_speed.py --preset base --openvino_python .venv-runtimes/bin/python --results speed.jsonl

Random weights of one size, written as a release with ONNX graphs of the hidden states. Every contestant is a process
of its own that stays alive and works when it is its turn: round by round, workload by workload, so that what else runs
on the machine meets them all. A number is the median of real tokens in a second; a ratio the median over rounds of
ours in float32 by the contestant's time. OpenVINO compiles the ONNX graph; nncf compresses its weights to int8. All
processes with torch keep freed memory (`runtime/memory.py`).
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
from typing import IO, Any

import numpy as np

SHIPPED_TOKENIZER = Path(__file__).parents[1] / "hub_release" / "assets" / "tokenizer"
# Lengths of the texts of a batch, in tokens; shorter ones are padded to the longest.
WORKLOADS: dict[str, list[int]] = {
    "16 mixed": [8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 200, 256, 384, 512],
    "16 x 18": [18] * 16,
    "4 x 512": [512] * 4,
    "1 x 16": [16],
    "1 x 512": [512],
    "1 x 2,048": [2048],
    "1 x 8,192": [8192],
}
CONTESTANTS = {
    "ours, float32": ("ours", "float32"),
    "ours, bfloat16": ("ours", "bfloat16"),
    "ours, layers compiled, float32": ("ours compiled", "float32"),
    "ours, layers compiled, bfloat16": ("ours compiled", "bfloat16"),
    "Transformers without trust, float32": ("native", "float32"),
    "Transformers without trust, bfloat16": ("native", "bfloat16"),
    "ONNX Runtime, float32": ("onnxruntime", "float32"),
    "ONNX Runtime, int8": ("onnxruntime", "int8"),
    "OpenVINO, float32": ("openvino", "float32"),
    "OpenVINO, bfloat16": ("openvino", "bfloat16"),
    "OpenVINO, int8": ("openvino", "int8"),
}
GRAPHS = {"float32": "model_encoder.onnx", "bfloat16": "model_encoder.onnx", "int8": "model_encoder_quantized.onnx"}
Call = Callable[[np.ndarray, np.ndarray], np.ndarray]


def batch_of(lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return random ids and the mask `(batch, longest)` of a workload."""
    ids = np.random.default_rng(len(lengths)).integers(5, 32_000, (len(lengths), max(lengths)))
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
    return ids * mask, mask


def torch_call(release: Path, engine: str, dtype: str, threads: int) -> Call:
    """Return a forward of our class, or of Transformers' own."""
    import torch
    from transformers import AutoModel

    from chinese_modernbert.runtime.memory import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(threads)
    trust = engine.startswith("ours")
    model = AutoModel.from_pretrained(release, trust_remote_code=trust, dtype=getattr(torch, dtype)).eval()
    if engine == "ours compiled":
        model.compile_layers()

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
            return model(**inputs).last_hidden_state.float().numpy()

    return run


def onnxruntime_call(release: Path, dtype: str, threads: int) -> Call:
    """Return a run of the ONNX graph of hidden states."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    path = str(release / "onnx" / GRAPHS[dtype])
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def openvino_call(release: Path, dtype: str, threads: int) -> Call:
    """Return a run of the same graph compiled by OpenVINO."""
    import openvino

    core = openvino.Core()
    model = core.read_model(str(release / "onnx" / GRAPHS["float32"]))
    if dtype == "int8":
        import nncf

        model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    hint = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}[dtype]
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": str(threads)}
    compiled = core.compile_model(model, "CPU", settings)
    return lambda ids, mask: compiled({"input_ids": ids, "attention_mask": mask})[0]


def contestant(release: Path, engine: str, dtype: str, threads: int) -> None:
    """Work whenever a line names a workload, and answer with seconds; the first answer says what was loaded."""
    if engine in ("ours", "ours compiled", "native"):
        call = torch_call(release, engine, dtype, threads)
    else:
        call = (onnxruntime_call if engine == "onnxruntime" else openvino_call)(release, dtype, threads)
    answer(ready=True)
    for line in sys.stdin:
        order = json.loads(line)
        ids, mask = batch_of(WORKLOADS[order["workload"]])
        start = time.perf_counter()
        states = call(ids, mask)
        seconds = time.perf_counter() - start
        if order.get("keep"):
            np.save(order["keep"], states)
        answer(seconds=seconds)


def answer(**values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


class Process:
    """A contestant that waits for its turn."""

    def __init__(self, python: str, release: Path, engine: str, dtype: str, threads: int) -> None:
        words = [python, __file__, "--contestant", str(release), engine, dtype, "--threads", str(threads)]
        environment = {**os.environ, "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        assert "ready" in self.read()

    def read(self) -> dict[str, Any]:
        stream: IO[str] | None = self.process.stdout
        for line in stream or ():
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"ended with {self.process.wait()}")

    def work(self, workload: str, keep: Path | None = None) -> float:
        """Return the seconds of one run."""
        order = {"workload": workload, **({"keep": str(keep)} if keep else {})}
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            return float(self.read()["seconds"])
        except BrokenPipeError:
            raise RuntimeError(f"ended with {self.process.wait()}") from None


def write_release(preset: str, folder: Path) -> Path:
    """Write a release of random weights with the graphs of its hidden states."""
    import torch

    from chinese_modernbert.hub_release import ReleaseArguments, build_release
    from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
    from chinese_modernbert.tokenization.loading import load_tokenizer, save_tokenizer

    torch.manual_seed(0)
    ChineseModernBertForMaskedLM(ChineseModernBertConfig.preset(preset)).save_pretrained(folder / "checkpoint")
    save_tokenizer(load_tokenizer(SHIPPED_TOKENIZER), folder / "checkpoint")
    arguments = ReleaseArguments(
        str(folder / "checkpoint"), str(folder / "release"), onnx=["fp32", "int8"], onnx_graphs=["encoder"]
    )
    return build_release(arguments)


def measure(args: argparse.Namespace, folder: Path) -> None:
    """Measure every workload and print a line for each contestant."""
    release = args.release or write_release(args.preset, folder)
    pythons = {"openvino": args.openvino_python}
    processes = {
        name: Process(pythons.get(engine) or sys.executable, release, engine, dtype, args.threads)
        for name, (engine, dtype) in CONTESTANTS.items()
        if (engine != "openvino" or args.openvino_python) and (engine.startswith("ours") or engine in args.engines)
    }
    for workload in args.workloads:
        lengths = WORKLOADS[workload]
        real = np.arange(max(lengths)) < np.array(lengths)[:, None]
        states = {}
        for name, process in list(processes.items()):
            try:
                process.work(workload, folder / "states.npy")
            except RuntimeError as error:  # out of memory, most likely: the others go on without it
                report(args, {"workload": workload, "contestant": name, "failed": str(error)})
                del processes[name]
                continue
            states[name] = np.load(folder / "states.npy")[real].astype(np.float64).ravel()
        times: dict[str, list[float]] = {name: [] for name in processes}
        for _ in range(args.repeats):
            for name, process in processes.items():
                times[name].append(process.work(workload))
        first = next(iter(processes))
        for name in processes:
            one, other = states[first], states[name]
            ratios = [ours / theirs for ours, theirs in zip(times[first], times[name], strict=True)]
            row = {
                "workload": workload,
                "contestant": name,
                "tokens_per_second": round(sum(lengths) / statistics.median(times[name])),
                "times_as_fast_as_ours_in_float32": [round(pick(ratios), 2) for pick in (statistics.median, min, max)],
                "cosine": round(float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)), 6),
            }
            report(args, row)


def report(args: argparse.Namespace, row: dict[str, Any]) -> None:
    print(json.dumps(row, ensure_ascii=False), flush=True)
    if args.results:
        with args.results.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="base")
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument(
        "--engines",
        nargs="+",
        default=["native", "onnxruntime", "openvino"],
        help="beside ours; a text of 8,192 tokens wants them apart, since each keeps what memory it took",
    )
    parser.add_argument("--release", type=Path, help="an earlier release with its graphs; none: a new one")
    parser.add_argument("--openvino_python", help="interpreter with OpenVINO and nncf; none: left out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", type=Path, help="JSON lines; added to")
    parser.add_argument("--contestant", nargs=3, metavar=("RELEASE", "ENGINE", "DTYPE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contestant:
        contestant(Path(args.contestant[0]), *args.contestant[1:], args.threads)
        return
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    report(args, {"commit": commit, "command": sys.argv, "load": os.getloadavg()[0]})
    with tempfile.TemporaryDirectory() as folder:
        measure(args, Path(folder))
    report(args, {"load": os.getloadavg()[0]})


if __name__ == "__main__":
    main()

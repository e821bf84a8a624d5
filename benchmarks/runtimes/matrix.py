"""One tiny release in every runtime: `make runtimes`, or with environments of one's own.

    python benchmarks/runtimes/matrix.py --old_python .venv-4.57/bin/python --runtimes_python .venv-runtimes/bin/python

Builds a release of every kind, computes the numbers to expect with the package's torch classes on real text of 1 to
2,000 tokens (from the folder in CHINESE_MODERNBERT_DATA), starts one script for each runtime in its own environment,
and prints one table. A row that misses its bar, or a runtime that is not installed, makes the exit code 1.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from expected import read_documents, write_expected
from folders import KINDS, TOKENIZER, build_folders
from table import Row, failures, render, rows_of_the_card, summarize

from chinese_modernbert.runtime.environment import describe_environment
from chinese_modernbert.tokenization.loading import load_tokenizer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA_VARIABLE = "CHINESE_MODERNBERT_DATA"
TIME_LIMIT_SECONDS = 1800.0
# All that a probe gets of the user's variables: no token, no key, no path to our code.
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Probe:
    """One script, and the environment that it runs in.

    Attributes:
        name: of the row that says that it did not run
        script: file beside this one
        environment: `own`, `old`, `runtimes` or `node`
        needs: module without which the runtime is not installed
        options: further fields of its job
    """

    name: str
    script: str
    environment: str
    needs: str
    options: dict[str, Any] = field(default_factory=dict)


PROBES = (
    Probe("Transformers", "transformers_native.py", "own", "transformers", {"trust": False}),
    Probe("Transformers, trust", "transformers_native.py", "own", "transformers", {"trust": True}),
    Probe("Transformers 4.57", "transformers_native.py", "old", "transformers", {"trust": False}),
    Probe("Transformers 4.57, trust", "transformers_native.py", "old", "transformers", {"trust": True}),
    Probe("ONNX Runtime", "onnx_runtime.py", "runtimes", "onnxruntime"),
    Probe("OpenVINO", "openvino_probe.py", "runtimes", "openvino"),
    Probe("fastembed", "fastembed_probe.py", "runtimes", "fastembed"),
    Probe("transformers.js", "transformers_js/probe.mjs", "node", "@huggingface/transformers"),
    Probe(
        "sentence-transformers",
        "sentence_transformers_probe.py",
        "own",
        "sentence_transformers",
        {"backends": ["torch"]},
    ),
    Probe(
        "sentence-transformers, OpenVINO",
        "sentence_transformers_probe.py",
        "runtimes",
        "optimum.intel",
        {"backends": ["openvino"]},
    ),
    Probe(
        "sentence-transformers, ONNX",
        "sentence_transformers_probe.py",
        "old",
        "optimum.onnxruntime",
        {"backends": ["torch", "onnx", "onnx, int8"]},
    ),
    Probe("vLLM's backend, stand-in", "vllm_stand_in.py", "own", "transformers"),
    Probe("peft", "peft_probe.py", "own", "peft"),
)


def environment(scratch: Path, threads: int) -> dict[str, str]:
    """Return the variables of a probe: own caches, no network."""
    return {
        **{name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
        "HF_HOME": str(scratch / "hf_home"),
        "HF_MODULES_CACHE": str(scratch / "hf_modules"),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "OMP_NUM_THREADS": str(threads),
        "PYTHONWARNINGS": "ignore",
    }


def run_probe(probe: Probe, command: list[str], job: dict[str, Any], threads: int, log: Path) -> list[Row]:
    """Run a script and return its rows, or one row that says why there are none."""
    with tempfile.TemporaryDirectory(prefix="runtimes_") as temporary:
        scratch = Path(temporary).resolve()
        results = scratch / "results.json"
        paths = {"results": str(results), "scratch": str(scratch), "threads": threads}
        (scratch / "job.json").write_text(json.dumps({**job, **probe.options, **paths}), encoding="utf-8")
        try:
            done = subprocess.run(
                [*command, str(scratch / "job.json")],
                cwd=scratch,
                env=environment(scratch, threads),
                stdin=subprocess.DEVNULL,  # who asks a question gets no answer
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIME_LIMIT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [Row(probe.name, "", "all", error=f"no end within {TIME_LIMIT_SECONDS:.0f} s")]
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
        if done.returncode or not results.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return [Row(probe.name, "", "all", error=f"ended with {done.returncode}: {last[:200]}")]
        return [Row(**row) for row in json.loads(results.read_text(encoding="utf-8"))]


def command_of(probe: Probe, args: argparse.Namespace) -> tuple[list[str], str]:
    """Return the command of a probe, and what is missing; empty where nothing is."""
    if probe.environment == "node":
        folder = Path(args.node_project).resolve()
        if not (folder / "node_modules" / probe.needs).is_dir() or not shutil.which("node"):
            return [], f"{folder} has no {probe.needs}, or there is no node"
        target = folder / Path(probe.script).name  # a module looks for packages beside its own file
        shutil.copyfile(HERE / probe.script, target)
        return ["node", str(target)], ""
    python = {"own": sys.executable, "old": args.old_python, "runtimes": args.runtimes_python}[probe.environment]
    if not Path(python).is_file():
        return [], f"there is no {python}"
    python = str(Path(python).absolute())  # not resolved: a link is what tells an environment from its base
    search = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
    if subprocess.run([python, "-c", search, probe.needs], capture_output=True, check=False).returncode:
        return [], f"{python} has no {probe.needs}"
    return [python, "-s", str(HERE / probe.script)], ""


def run_all(args: argparse.Namespace, folder: Path) -> list[Row]:
    """Build the releases, run every probe and return the rows."""
    tokenizer = load_tokenizer(TOKENIZER)
    documents = read_documents(Path(os.environ.get(DATA_VARIABLE, "")) / "corpus")
    releases = Path(args.releases).resolve() if args.releases else folder / "releases"
    folders = {kind: releases / kind for kind in KINDS} if args.releases else build_folders(folder, args.preset)
    job = {
        **write_expected(folders, documents, tokenizer, folder / "expected.safetensors"),
        "release_root": str(releases),
        "vllm_backend": str(ROOT / "tests" / "reference" / "vllm_backend.py"),
    }
    rows: list[Row] = []
    for number, probe in enumerate(PROBES):
        if args.only and not any(name in probe.script for name in args.only):
            continue
        command, missing = command_of(probe, args)
        if missing:
            found = [Row(probe.name, "", "all", error=missing, is_missing=True)]
        else:
            found = run_probe(probe, command, job, args.threads, folder / f"{number}.log")
        print(f"{probe.name}: {len(found)} rows, {len(failures(found))} of them failed", file=sys.stderr, flush=True)
        rows += found
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="tiny", help="size of the models")
    parser.add_argument("--old_python", default=".venv-4.57/bin/python", help="has Transformers 4.57 and optimum-onnx")
    parser.add_argument("--runtimes_python", default=".venv-runtimes/bin/python", help="has OpenVINO and fastembed")
    parser.add_argument("--node_project", default="outputs/transformers_js", help="has the packages of transformers.js")
    parser.add_argument("--releases", default="", help="folder of earlier releases by kind, in place of new ones")
    parser.add_argument("--output_dir", default="outputs/runtimes", help="releases, logs, tables and record.json")
    parser.add_argument("--only", nargs="+", default=[], help="scripts to run, by a part of their names")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--allow_missing", action="store_true", help="runtimes that are not installed do not fail")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    folder = Path(args.output_dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    rows = run_all(args, folder)
    (folder / "table.md").write_text(render(rows) + "\n", encoding="utf-8")
    (folder / "summary.md").write_text(summarize(rows) + "\n", encoding="utf-8")
    record = {"date": datetime.date.today().isoformat(), "preset": args.preset, **describe_environment()}
    record |= {"rows": [{**asdict(row), "fault": row.fault()} for row in rows]}
    (folder / "record.json").write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
    # To be copied to hub_release/card/runtimes.json together with a new record.
    card = {"date": record["date"], "preset": args.preset, "rows": rows_of_the_card(rows)}
    (folder / "runtimes.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(render(rows))
    failed = failures(rows, args.allow_missing)
    print(f"{len(rows)} rows, {len(failed)} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Speed of `prepare` on real text, end to end: CPU time of all its processes against bytes of text, each filter alone.

    CHINESE_MODERNBERT_DATA=... python benchmarks/prepare_speed.py [--megabytes 30] [--repeats 3]

The text is the same number of megabytes from the beginning of every `corpus/train-*.jsonl.gz` of the data folder.
Every run is a process of its own, so that its CPU time holds imports, the tokenizer, its workers and its disk.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from chinese_modernbert import cli
from chinese_modernbert.trainers.data.arguments import PrepareArguments
from chinese_modernbert.trainers.data.near_duplicates import ExactDuplicates, NearDuplicates, document_signatures
from chinese_modernbert.trainers.data.prepare import run_prepare
from chinese_modernbert.trainers.data.shards import TokenShards

RUNS: dict[str, dict[str, Any]] = {
    "no filter, this process alone": {"prepare_workers": 0},
    "no filter, 2 workers": {},
    "no filter, 2 workers, as a data set": {"as_dataset": True},
    "minimum_characters 50": {"minimum_characters": 50},
    "minimum_han_share 0.5": {"minimum_han_share": 0.5},
    "drop_exact_duplicates": {"drop_exact_duplicates": True},
    "near_duplicate_similarity 0.8": {"near_duplicate_similarity": 0.8},
    "all four": {
        "minimum_characters": 50,
        "minimum_han_share": 0.5,
        "drop_exact_duplicates": True,
        "near_duplicate_similarity": 0.8,
    },
}


def write_sample(corpus: Path, file: Path, megabytes: float) -> int:
    """Write the sample as JSON lines and return its bytes of text."""
    sources = sorted(corpus.glob("train-*.jsonl.gz"))
    total = 0
    with gzip.open(file, "wt", encoding="utf-8", compresslevel=1) as sample:
        for source in sources:
            taken = 0
            with gzip.open(source, "rt", encoding="utf-8", newline="\n") as lines:
                for line in lines:
                    taken += len(json.loads(line)["text"].encode())
                    sample.write(line)
                    if taken >= megabytes * 1e6 / len(sources):
                        break
            total += taken
    return total


def cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def run_once(results: Any, sample: str, options: dict[str, Any]) -> None:
    options = dict(options)
    as_dataset = options.pop("as_dataset", False)
    with tempfile.TemporaryDirectory() as folder:
        arguments = PrepareArguments(
            corpus=[] if as_dataset else [sample],
            dataset="json" if as_dataset else None,
            dataset_files=[sample] if as_dataset else [],
            tokenizer=str(cli.SHIPPED_TOKENIZER),
            output_dir=f"{folder}/shards",
            shard_characters=2_000_000,
            **options,
        )
        began = time.perf_counter()
        run_prepare(arguments)
        wall = time.perf_counter() - began
        results.put((cpu_seconds(), wall, TokenShards(f"{folder}/shards").manifest))


def measure(sample: str, options: dict[str, Any]) -> tuple[float, float, dict[str, Any]]:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=run_once, args=(results, sample, options))
    process.start()
    result = results.get()
    process.join()
    return result


def measure_opening(sample: str) -> None:
    """Print the speed of comparing hashes, and of an opening that need not."""
    with tempfile.TemporaryDirectory() as folder:
        run_prepare(PrepareArguments([sample], str(cli.SHIPPED_TOKENIZER), f"{folder}/shards"))
        n_bytes = sum(path.stat().st_size for path in Path(f"{folder}/shards").glob("*.bin"))
        for name, check in (("sizes alone", False), ("first, with hashes", True), ("second, with hashes", True)):
            cpu, wall = time.process_time(), time.perf_counter()
            TokenShards(f"{folder}/shards", check_hashes=check)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            print(f"opening {n_bytes / 1e6:.0f} MB, {name}: {wall:.4f} s, {cpu:.4f} s of CPU", flush=True)


def measure_memory(sample: str) -> None:
    """Print what the memories of duplicates take for a kept document."""
    with gzip.open(sample, "rt", encoding="utf-8", newline="\n") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    from chinese_modernbert.tokenization import TextDocument

    for name in ("exact", "near"):
        signatures = document_signatures(texts) if name == "near" else []
        before = resident_bytes()
        if name == "exact":
            exact = ExactDuplicates()
            kept = sum(exact(TextDocument(text, "", "")) is None for text in texts)
        else:
            near = NearDuplicates(0.8)
            kept = sum(near.is_new(one) for one in signatures)
        print(f"{name} duplicates: {(resident_bytes() - before) / kept:.0f} bytes a kept document ({kept} of them)")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=30)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if "CHINESE_MODERNBERT_DATA" not in os.environ:
        sys.exit("set CHINESE_MODERNBERT_DATA to a folder that holds corpus/train-*.jsonl.gz")
    with tempfile.TemporaryDirectory() as folder:
        sample = f"{folder}/sample.jsonl.gz"
        n_bytes = write_sample(Path(os.environ["CHINESE_MODERNBERT_DATA"]) / "corpus", Path(sample), options.megabytes)
        print(f"{n_bytes / 1e6:.1f} MB of text")
        for name, run in RUNS.items():
            runs = [measure(sample, run) for _ in range(options.repeats)]
            cpu, wall = (statistics.median(one[number] for one in runs) for number in (0, 1))
            manifest = runs[0][2]
            print(
                f"{name}: {n_bytes / 1e6 / cpu:.2f} MB/s of CPU, {n_bytes / 1e6 / wall:.2f} MB/s of wall time, kept "
                f"{manifest['documents']} of {manifest['documents_read']}, dropped {manifest['dropped']}",
                flush=True,
            )
        measure_opening(sample)
        measure_memory(sample)


if __name__ == "__main__":
    main()

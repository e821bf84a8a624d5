r"""Sentences that a corrector reads in a minute: its folder, a file of pairs, some threads.

    python benchmarks/spelling_speed.py --model spell/models/seed1 --data PAIRS.jsonl.gz --threads 2

Sentences are those of the file, again and again up to `--sentences`, in one list as `spell check` gives them. One round
warms up; a number is the median of the others, and the slowest beside it. The bar of the project is 1,000 in a minute
on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from itertools import cycle, islice

import torch

from chinese_modernbert.evaluation.spelling import read_spelling_pairs
from chinese_modernbert.trainers.spelling.loading import trained_corrector


def measured(arguments: argparse.Namespace) -> dict[str, object]:
    """Return sentences in a minute, by round and in the median."""
    torch.set_num_threads(arguments.threads)
    model, tokenizer = trained_corrector(arguments.model, arguments.bf16, use_cpu=True)
    sources = [pair.source for pair in read_spelling_pairs(arguments.data, "skip")]
    texts = list(islice(cycle(sources), arguments.sentences))
    rates = []
    for _ in range(arguments.rounds + 1):
        started = time.perf_counter()
        model.correct(texts, tokenizer)
        rates.append(60 * len(texts) / (time.perf_counter() - started))
    return {
        "arm": model.settings.arm,
        "characters a sentence": round(sum(map(len, texts)) / len(texts), 1),
        "threads": arguments.threads,
        "sentences a minute": round(statistics.median(rates[1:])),
        "slowest": round(min(rates[1:])),
    }


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a corrector")
    parser.add_argument("--data", required=True, help="pairs, JSON lines of source and target")
    parser.add_argument("--sentences", type=int, default=1_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bf16", action="store_true", help="weights in bfloat16")
    sys.stdout.write(json.dumps(measured(parser.parse_args()), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

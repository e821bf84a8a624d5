"""Text to ids and word starts on one core, beside plain encoding by the tokenizers library and beside rjieba alone.

    CHINESE_MODERNBERT_DATA=... python benchmarks/tokenizer_speed.py [--megabytes 8] [--repeats 7]

Process time of one thread on training text of every source; the ways take turns inside a repeat, so that a busy
machine slows all of them alike, and the figures are medians. A megabyte is a million bytes of UTF-8.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from chinese_modernbert.tokenization import (
    encode_documents,
    find_text_files,
    fold_width,
    load_segmenter,
    load_tokenizer,
    read_documents,
)
from chinese_modernbert.tokenization.word_starts import word_borders
from chinese_modernbert.trainers.data.shard_writer import ENCODING_BATCH

SHIPPED_TOKENIZER = Path(__file__).parent.parent / "hub_release" / "assets" / "tokenizer"


def read_sample(corpus: Path, megabytes: float) -> list[str]:
    """Return the first documents of every training file, about the same number of bytes of each."""
    files = find_text_files([corpus / "train-*.jsonl.gz"])
    texts: list[str] = []
    for file in files:
        n_bytes = 0.0
        for document in read_documents([file]):
            texts.append(document.text)
            n_bytes += len(document.text.encode())
            if n_bytes > megabytes * 1e6 / len(files):
                break
    return texts


def batches(texts: list[str]) -> list[list[str]]:
    """Return the texts in the batches in which `prepare` encodes them."""
    return [texts[first : first + ENCODING_BATCH] for first in range(0, len(texts), ENCODING_BATCH)]


def measure(ways: dict[str, Callable[[list[str]], object]], texts: list[str], repeats: int) -> dict[str, list[float]]:
    """Return the process seconds of every way, one a repeat; the first, untimed round fills the caches."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            start = time.process_time()
            for batch in batches(texts):
                way(batch)
            if repeat:
                seconds[name].append(time.process_time() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", default=str(SHIPPED_TOKENIZER))
    parser.add_argument("--megabytes", type=float, default=8.0)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    texts = read_sample(Path(os.environ["CHINESE_MODERNBERT_DATA"]) / "corpus", options.megabytes)
    tokenizer, segmenter = load_tokenizer(options.tokenizer), load_segmenter()
    plain = load_tokenizer(options.tokenizer).backend_tokenizer
    ways: dict[str, Callable[[list[str]], object]] = {
        "encode_batch (ids, offsets, masks)": lambda batch: plain.encode_batch(batch, add_special_tokens=False),
        "encode_batch_fast (ids alone)": lambda batch: plain.encode_batch_fast(batch, add_special_tokens=False),
        "rjieba": lambda batch: [segmenter.cut(text) for text in batch],
        "word borders": lambda batch: word_borders(list(map(fold_width, batch)), segmenter),
        "ids and word starts": lambda batch: encode_documents(tokenizer, segmenter, batch),
    }
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    n_tokens = sum(len(document.input_ids) for document in encode_documents(tokenizer, segmenter, texts))
    print(f"{len(texts):,} documents, {megabytes:.2f} MB, {sum(map(len, texts)):,} characters, {n_tokens:,} tokens")
    seconds = measure(ways, texts, options.repeats)
    peer = statistics.median(seconds["encode_batch (ids, offsets, masks)"])
    print("| way | MB/s, median (slowest to fastest) | times plain encode_batch |\n| --- | --- | --- |")
    for name, times in seconds.items():
        median, slowest, fastest = statistics.median(times), max(times), min(times)
        speeds = f"{megabytes / median:.2f} ({megabytes / slowest:.2f} to {megabytes / fastest:.2f})"
        print(f"| {name} | {speeds} | {peer / median:.2f} |")


if __name__ == "__main__":
    main()

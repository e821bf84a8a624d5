"""Peak memory of `prepare` by the size of its input, with and without filters of duplicates, and for a line of 2 GB.

    python benchmarks/prepare_memory.py --corpus 'texts/*.jsonl.gz' --folder scratch

Inputs are the corpus again and again, each time with other characters in a tenth of the places, so that no filter drops
them. Every run is a process of its own; its peak is what the system says of the largest of it and its workers. What a
filter keeps of a document is measured alone too, as the growth of this process.
"""

import argparse
import gc
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np

from chinese_modernbert.tokenization import TextDocument, read_documents
from chinese_modernbert.trainers.data.near_duplicates import ExactDuplicates, NearDuplicates, document_signatures

FILTERS = {
    "none": [],
    "exact": ["--drop_exact_duplicates"],
    "exact and near": ["--drop_exact_duplicates", "--near_duplicate_similarity", "0.8"],
}
CHANGED_SHARE = 0.1


def altered_texts(corpus: Sequence[str]) -> Iterator[str]:
    """Yield the documents over and over, never twice the same."""
    for turn in count():
        draw = np.random.default_rng(turn)
        for document in read_documents(corpus):
            codes = np.frombuffer(document.text.encode("utf-32-le"), np.uint32).copy()
            places = draw.random(len(codes)) < CHANGED_SHARE
            codes[places] = draw.integers(0x4E00, 0x5E00, int(places.sum()))
            yield codes.tobytes().decode("utf-32-le")


def write_inputs(corpus: Sequence[str], folder: Path, megabytes: Sequence[int]) -> dict[int, Path]:
    """Write one file for each size; each begins as the smaller ones do."""
    files = {size: folder / f"{size}.jsonl" for size in sorted(megabytes)}
    streams = {size: file.open("w", encoding="utf-8") for size, file in files.items()}
    n_bytes = 0
    for text in altered_texts(corpus):
        n_bytes += len(text.encode())
        line = json.dumps({"text": text}, ensure_ascii=False) + "\n"
        for size in [size for size in streams if n_bytes <= size * 1e6]:
            streams[size].write(line)
        if n_bytes > max(streams) * 1e6:
            break
    for stream in streams.values():
        stream.close()
    return files


def peak_of(words: Sequence[str]) -> tuple[int, float, str]:
    """Run `prepare` and return its exit status, its peak in MB and the last line it wrote."""
    log = Path(words[words.index("--output_dir") + 1] + ".log")
    with log.open("w", encoding="utf-8") as stream:
        command = [sys.executable, "-m", "chinese_modernbert.cli", "prepare", *words]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stream)
        _, status, usage = os.wait4(process.pid, 0)
    lines = [line for line in log.read_text(encoding="utf-8").split("\n") if line.strip()]
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1e3, lines[-1]


def bytes_of_filters(n_documents: int) -> Iterator[tuple[str, int, float]]:
    """Yield (filter, documents kept, bytes of each) at several sizes, for documents of 60 random characters."""
    draw, exact, near = np.random.default_rng(0), ExactDuplicates(), NearDuplicates(0.8)
    for name in ("exact", "near"):
        gc.collect()
        before, kept = resident_bytes(), 0
        while kept < n_documents:
            codes = draw.integers(0x4E00, 0x5E00, (1000, 60), dtype=np.uint32)
            texts = [row.tobytes().decode("utf-32-le") for row in codes]
            if name == "exact":
                kept += sum(exact(TextDocument(text, "", "")) is None for text in texts)
            else:
                kept += sum(map(near.is_new, document_signatures(texts)))
            if kept % (n_documents // 8) == 0:
                yield name, kept, (resident_bytes() - before) / kept


def resident_bytes() -> int:
    """Return the memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[75, 150, 300])
    parser.add_argument("--filters", nargs="+", default=list(FILTERS), choices=FILTERS)
    parser.add_argument("--workers", default="0")
    parser.add_argument("--documents", type=int, default=80_000, help="for the filters alone, a multiple of 8000")
    arguments = parser.parse_args()
    for name, kept, size in bytes_of_filters(arguments.documents):
        sys.stdout.write(f"filter {name}: {size:,.0f} bytes each of {kept:,} documents\n")
    sys.stdout.flush()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    bomb = arguments.folder / "line.jsonl.gz"
    bomb.write_bytes(gzip.compress(b"x" * 40_000_000) * 50)
    files = {f"a line of 2 GB, {bomb.stat().st_size / 1e6:.1f} MB of gzip": bomb}
    files |= {
        f"{size} MB": file
        for size, file in write_inputs(arguments.corpus, arguments.folder, arguments.megabytes).items()
    }
    for name, file in files.items():
        for filters in ["none"] if file is bomb else arguments.filters:
            output = arguments.folder / f"{file.name}-{filters.replace(' ', '-')}"
            words = ["--corpus", str(file), "--output_dir", str(output), "--prepare_workers", arguments.workers]
            status, peak, last = peak_of([*words, *FILTERS[filters]])
            sys.stdout.write(f"| {name} | {filters} | {peak:,.0f} MB | exit {status}: {last} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

"""How many pairs of title and body the corpus gives, by source, and why documents give none.

    CHINESE_MODERNBERT_DATA=... python benchmarks/title_pairs.py [--output FILE]

Pairs that hold a text of the DuReader sets, exactly or nearly, are left out.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from chinese_modernbert.evaluation.retrieval import read_retrieval_task
from chinese_modernbert.runtime.markdown import markdown_table
from chinese_modernbert.trainers.contrastive.titles import title_pairs

EVALUATION = ("dureader:dev", "dureader:test")


def main() -> None:
    """Print the table, and write the pairs where a file is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="file of JSON lines for a stage")
    options = parser.parse_args()
    data = Path(os.environ.get("CHINESE_MODERNBERT_DATA", ""))
    tasks = {name: read_retrieval_task(name, data / "sts") for name in EVALUATION}
    texts = {name: [*task.queries, *task.passages] for name, task in tasks.items()}
    found = title_pairs(sorted((data / "corpus").glob("train-*.jsonl.gz")), evaluation=texts)
    reasons = list(dict.fromkeys(reason for row in found.dropped.values() for reason in row))
    names = sorted({*found.pairs, *found.dropped}, key=lambda name: -len(found.pairs.get(name, [])))
    rows: list[tuple[Any, ...]] = [
        (name, len(found.pairs.get(name, [])), *(found.dropped.get(name, {}).get(reason, 0) for reason in reasons))
        for name in names
    ]
    total = ("all", *(sum(column) for column in zip(*(row[1:] for row in rows), strict=True)))
    sys.stdout.write("\n".join(markdown_table(("source", "pairs", *reasons), [*rows, total])) + "\n")
    if options.output:
        found.write(options.output)


if __name__ == "__main__":
    main()

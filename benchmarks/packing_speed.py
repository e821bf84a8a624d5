"""Packing and reading of prepared shards: fill, planning time and memory, share of long documents, reading speed.

    chinese-modernbert prepare --corpus ... --output_dir SHARDS
    python benchmarks/packing_speed.py SHARDS [--repeats 5] [--documents 10000000]

The first table plans the corpus of SHARDS, the second lengths drawn from a log-normal law (seed 0), each number of
documents in a process of its own for its peak memory. Reading takes micro-batches of 65,536 positions.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch.utils.data import DataLoader

from chinese_modernbert.trainers.data.packing import SpecialIds, pack_rows, positions_of
from chinese_modernbert.trainers.data.sampling import epoch_order, epoch_samples, rest_of_epoch
from chinese_modernbert.trainers.data.shards import TokenShards
from chinese_modernbert.trainers.data.stages import Stage, StagedBatches, stage_weights

CONTEXTS = (1024, 8192)
MICRO_BATCH = 65_536
SPECIALS = SpecialIds(cls=2, sep=3, pad=0)


def planning(name: str, lengths: np.ndarray, repeats: int) -> None:
    for context in CONTEXTS:
        times = []
        for epoch in range(repeats):
            began = time.process_time()
            plan = pack_rows(lengths, context, epoch_order(len(lengths), 0, epoch))
            times.append(time.process_time() - began)
        bytes_kept = sum(column.nbytes for column in (plan.sample, plan.start, plan.length, plan.row_starts))
        print(
            f"| {name} | {len(lengths):,} | {context:,} | {100 * plan.packing_efficiency:.2f} % | {len(plan):,} | "
            f"{statistics.median(times):.2f} | {bytes_kept / 2**20:.0f} | {peak_mebibytes():.0f} |"
        )


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def synthetic(count: int) -> None:
    lengths = np.random.default_rng(0).lognormal(4.5, 1.3, count).astype(np.int64) + 5
    planning("log-normal", lengths, 1)


def long_documents(shards: TokenShards) -> None:
    print("\n| long_share | positions from documents over 1,024 | readings of a long document per epoch | seam, s |")
    print("| --- | --- | --- | --- |")
    is_long, positions = shards.lengths > 1024, positions_of(shards.lengths, 8192)
    for share in (None, 0.5, 0.8):
        stages = [Stage(1024, share=0.5), Stage(8192, share=0.5, long_share=share)]
        weights = stage_weights(shards, stages, 1, {})
        readings = epoch_samples(weights, 0, 0) % len(shards)
        realised = positions[readings][is_long[readings]].sum() / positions[readings].sum()
        batches = StagedBatches(shards, stages, [20, 40], 1, MICRO_BATCH, 0, SPECIALS)
        before = batches._stop_of(0)
        began = time.process_time()
        rest_of_epoch(weights, 0, before)
        taken = time.process_time() - began
        print(f"| {share} | {100 * realised:.2f} % | {weights[is_long].mean():.2f} | {taken:.3f} |")


def reading(shards: TokenShards, repeats: int) -> None:
    print("\n| context | workers | rows/s | positions/s | share of a core |")
    print("| --- | --- | --- | --- | --- |")
    steps = 64
    for context in CONTEXTS:
        for workers in (0, 2):
            batches = StagedBatches(shards, [Stage(context, share=1.0)], [steps], 1, MICRO_BATCH, 0, SPECIALS)
            batches.rows_of(0)
            wall, process = [], []
            for _ in range(repeats):
                loader = DataLoader(batches, batch_size=1, collate_fn=lambda items: items[0], num_workers=workers)
                iterator = iter(loader)
                next(iterator)
                began, began_process = time.perf_counter(), time.process_time()
                count = sum(1 for _ in iterator)
                wall.append((time.perf_counter() - began) / count)
                process.append((time.process_time() - began_process) / count)
            seconds, rows = statistics.median(wall), MICRO_BATCH // context
            share = statistics.median(process) / seconds
            print(f"| {context:,} | {workers} | {rows / seconds:,.0f} | {MICRO_BATCH / seconds:,.0f} | {share:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--documents", type=int, default=10_000_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shards = TokenShards(arguments.shards)
    print("| lengths | documents | context | fill | rows | planning, s of one core | plan, MiB | peak, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    planning("corpus", shards.lengths, arguments.repeats)
    for count in (1_000_000, arguments.documents):
        process = multiprocessing.get_context("spawn").Process(target=synthetic, args=(count,))
        process.start()
        process.join()
    long_documents(shards)
    reading(shards, arguments.repeats)


if __name__ == "__main__":
    main()

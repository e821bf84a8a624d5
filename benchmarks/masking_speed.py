"""Masking speed and fairness on real text, beside Transformers' own collator, in one process on one core.

    CHINESE_MODERNBERT_DATA=... python benchmarks/masking_speed.py [--repeats 9]

A BPE of 32,768 entries is trained on the first 120,000 characters of every `corpus/train-*.jsonl.gz` of the data
folder; the text to be masked is `corpus/validation.jsonl.gz`.
"""

import argparse
import gzip
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from transformers import DataCollatorForLanguageModeling

from chinese_modernbert.tokenization import TokenizerArguments, encode_documents, load_segmenter, train_tokenizer
from chinese_modernbert.tokenization.word_starts import word_ids_from_starts
from chinese_modernbert.trainers.masking import (
    ColumnUnits,
    Masker,
    MaskVocabulary,
    NGramUnits,
    PackedBatch,
    Replace,
    SimilarWords,
    TableWeights,
    TokenUnits,
    chinese_modernbert,
)
from chinese_modernbert.trainers.masking.materials.tables import frequency_table

SHAPES = ((32, 1024), (8, 8192), (64, 8192))


def read_texts(pattern: str, characters_per_file: int) -> list[str]:
    """The first texts of every matching corpus file."""
    taken = []
    for path in sorted((Path(os.environ["CHINESE_MODERNBERT_DATA"]) / "corpus").glob(pattern)):
        characters = 0
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                taken.append(json.loads(line)["text"])
                characters += len(taken[-1])
                if characters > characters_per_file:
                    break
    return taken


def pack(documents: list[Any], tokenizer: Any, rows: int, length: int) -> PackedBatch:
    """Put documents one after the other, cut at row ends, [CLS] and [SEP] around each."""
    ids, starts, names = [], [], []
    total = rows * length
    number = 0
    while sum(map(len, ids)) < total:
        document = documents[number % len(documents)]
        ids.append(np.concatenate([[tokenizer.cls_token_id], document.input_ids, [tokenizer.sep_token_id]]))
        starts.append(np.concatenate([[True], document.word_starts, [True]]))
        names.append(np.full(len(ids[-1]), number))
        number += 1
    grid, begins, docs = (np.concatenate(part)[:total].reshape(rows, length) for part in (ids, starts, names))
    docs = (docs - docs[:, :1]).astype(np.int32)
    special = np.isin(grid, tokenizer.all_special_ids)
    return PackedBatch(
        input_ids=grid.astype(np.int64),
        word_ids=word_ids_from_starts(begins, docs, special),
        document_ids=docs,
        sample_ids=np.arange(rows),
    )


def seconds(work: Callable[[], object], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return statistics.median(times)


def our_maskers(vocabulary: MaskVocabulary, table: np.ndarray) -> dict[str, Masker]:
    words, mix = ColumnUnits("word_ids"), Replace(vocabulary)
    return {
        "ours, tokens": Masker(TokenUnits(), 0.3, mix),
        "ours, whole words (main preset at its peak)": chinese_modernbert(vocabulary),
        "ours, 1-4-grams with weights": Masker(NGramUnits(words), 0.3, mix, weights=TableWeights(table)),
        "ours, words, Bernoulli with weights": Masker(
            words, 0.3, mix, weights=TableWeights(table), sampler="bernoulli"
        ),
        "ours, words, weights, per document": Masker(words, 0.3, mix, weights=TableWeights(table), budget="document"),
    }


def theirs(tokenizer: Any, batch: PackedBatch, whole_word: bool, kind: str) -> Callable[[], object]:
    collator = DataCollatorForLanguageModeling(
        tokenizer, mlm_probability=0.3, whole_word_mask=whole_word, return_tensors=kind
    )
    shape = batch["input_ids"].shape
    offsets = np.stack([np.arange(shape[1])] * 2, axis=1) * 2 + [0, 1]  # gaps, so that each token is a word
    rows = [{"input_ids": row.tolist()} for row in batch["input_ids"]]
    if whole_word:
        rows = [{**row, "offset_mapping": offsets.tolist()} for row in rows]
    return lambda: collator([dict(row) for row in rows])


def speed(batches: list[PackedBatch], tokenizer: Any, table: np.ndarray, repeats: int) -> None:
    vocabulary = MaskVocabulary.from_tokenizer(tokenizer)
    print("| masker | " + " | ".join(f"{r} x {n}: ms, Mtok/s" for r, n in SHAPES) + " |\n|---|---|---|---|")
    for name, masker in our_maskers(vocabulary, table).items():
        cells = []
        for batch in batches:
            taken = seconds(lambda m=masker, b=batch: m(b, 0.05), repeats)
            cells.append(f"{taken * 1e3:.1f}, {batch['input_ids'].size / taken / 1e6:.1f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    for whole_word in (False, True):
        for kind in ("np", "pt"):
            cells = []
            for batch in batches:
                if whole_word and batch["input_ids"].size > 2**17 or batch["input_ids"].size > 2**18:
                    cells.append("not run")
                    continue
                taken = seconds(theirs(tokenizer, batch, whole_word, kind), min(repeats, 5))
                cells.append(f"{taken * 1e3:.1f}, {batch['input_ids'].size / taken / 1e6:.1f}")
            name = "whole words" if whole_word else "tokens"
            print(f"| Transformers, {name}, {kind} | " + " | ".join(cells) + " |", flush=True)


def fairness(documents: list[Any], tokenizer: Any, table: np.ndarray) -> None:
    """The chance of being masked by unit length, on real units."""
    vocabulary = MaskVocabulary.from_tokenizer(tokenizer)
    batch = pack(documents, tokenizer, 64, 1024)
    words, mix = ColumnUnits("word_ids"), Replace(vocabulary)
    print("\n| masker | target | realised | chance by tokens in the unit 1 / 2 / 3 / 4+ |\n|---|---|---|---|")
    for name, units, budget in (
        ("tokens", TokenUnits(), "row"),
        ("words", words, "row"),
        ("words", words, "document"),
        ("1-4-grams", NGramUnits(words), "row"),
    ):
        for rate in (0.15, 0.30, 0.40):
            masker = Masker(units, rate, mix, budget=budget)
            hits, seen, masked, total = np.zeros(4), np.zeros(4), 0, 0
            for epoch in range(20):
                result = masker(batch, 0.0, epoch)
                size = np.clip(result["units"].length, 1, 4) - 1
                seen += np.bincount(size, minlength=4)
                hits += np.bincount(size[result["chosen"]], minlength=4)
                masked, total = masked + result["selected"].sum(), total + result["maskable_tokens"]
            chance = " / ".join(f"{c:.3f}" for c in hits / np.maximum(seen, 1))
            print(f"| {name}, budget per {budget} | {rate:.2f} | {masked / total:.4f} | {chance} |")
    lengths = words(batch, None).length  # type: ignore[arg-type]
    shares = np.bincount(np.clip(lengths, 1, 4), minlength=5)[1:] / lengths.size
    print("\nunits of 1 / 2 / 3 / 4+ tokens: " + " / ".join(f"{share:.3f}" for share in shares))
    lost = TokenUnits()(batch, None).length  # type: ignore[arg-type]
    print(f"single-token share when the word starts are lost: {(lost == 1).mean():.3f}")


def lexicon_speed(batch: PackedBatch) -> None:
    generator = np.random.default_rng(0)
    words = {tuple(generator.integers(5, 32768, generator.integers(1, 4)).tolist()): None for _ in range(50_000)}
    entries = {word: [generator.integers(5, 32768, len(word)).tolist() for _ in range(5)] for word in words}
    begin = time.process_time()
    lexicon = SimilarWords.build(entries)
    built = time.process_time() - begin
    units = ColumnUnits("word_ids")(batch, None)  # type: ignore[arg-type]
    flat = batch["input_ids"].reshape(-1)
    taken = seconds(lambda: lexicon.find(flat, units.start[::5], units.length[::5]), 9)
    looked_up = f"{units.start[::5].size:,} look-ups {taken * 1e3:.2f} ms"
    print(f"\nlexicon of {len(lexicon):,} words: built in {built:.2f} s; {looked_up}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    tokenizer = train_tokenizer(
        read_texts("train-*.jsonl.gz", 120_000), TokenizerArguments(corpus=[], output_dir="unused", vocab_size=32768)
    )
    texts = read_texts("validation.jsonl.gz", 10_000_000)
    np.random.default_rng(0).shuffle(texts)
    documents = encode_documents(tokenizer, load_segmenter("rjieba"), texts)
    documents = [document for document in documents if len(document.input_ids)]
    table = frequency_table((document.input_ids for document in documents), len(tokenizer))
    batches = [pack(documents, tokenizer, *shape) for shape in SHAPES]
    speed(batches, tokenizer, table, arguments.repeats)
    fairness(documents, tokenizer, table)
    lexicon_speed(batches[0])


if __name__ == "__main__":
    main()

"""Encode throughput of SentenceTransformer on our model against Transformers' ModernBERT with the same weights.

    python benchmarks/embedding_speed.py [--preset small] [--texts 128] [--rounds 3]

The weights are random; ours are LayerNorm weights, written native by `convert_checkpoint`: both folders hold the same
tensors. Texts are real: sentences of STS-B's test split, passages of DuReader's dev split, and half of each. They are
sorted as sentence-transformers does (by length), or not: batches in the given order. Rounds alternate.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

from chinese_modernbert.cli import SHIPPED_TOKENIZER
from chinese_modernbert.hub_release.conversion import convert_checkpoint
from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.runtime.environment import describe_environment
from chinese_modernbert.runtime.options import convert
from chinese_modernbert.tokenization import load_tokenizer, save_tokenizer
from chinese_modernbert.trainers.contrastive.datasets import read_named, texts_of

BATCH = 32


def build_pair(preset: str, folder: Path) -> dict[str, SentenceTransformer]:
    """Return both encoders, mean pooling, float32, with equal weights."""
    torch.manual_seed(0)
    config = ChineseModernBertConfig.preset(preset, norm_type="layernorm")
    ChineseModernBertForMaskedLM(config).save_pretrained(folder / "ours")
    save_tokenizer(load_tokenizer(SHIPPED_TOKENIZER), folder / "ours")
    convert_checkpoint(folder / "ours", folder / "native", native=True)
    pair = {}
    for name in ("ours", "native"):
        module = Transformer(str(folder / name), model_kwargs={"dtype": torch.float32})
        dimension = module.get_embedding_dimension()
        pair[name] = SentenceTransformer(modules=[module, Pooling(dimension, "mean")], device="cpu")
    return pair


def encode(model: SentenceTransformer, texts: list[str], is_sorted: bool) -> tuple[np.ndarray, float]:
    """Return vectors and seconds; without sorting each batch is a call of its own."""
    began = time.perf_counter()
    if is_sorted:
        vectors = model.encode(texts, batch_size=BATCH, show_progress_bar=False)
    else:
        parts = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        vectors = np.concatenate([model.encode(part, batch_size=BATCH, show_progress_bar=False) for part in parts])
    return vectors, time.perf_counter() - began


def real_texts(count: int) -> dict[str, list[str]]:
    data = convert("${CHINESE_MODERNBERT_DATA}/sts", str, "data", "this script")
    sentences = next(iter(texts_of(read_named(["stsb:test"], data, "test")).values()))
    passages = [one.positive for one in read_named(["dureader:dev"], data, "dev")[0].rows.triplets]
    drawn = random.Random(0)
    short, long = drawn.sample(sentences, count), drawn.sample(list(dict.fromkeys(passages)), count)
    mixed = short[: count // 2] + long[: count // 2]
    drawn.shuffle(mixed)
    return {"sentences": short, "passages": long, "mixed": mixed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(describe_environment("sentence-transformers"))
    with tempfile.TemporaryDirectory() as folder:
        pair = build_pair(arguments.preset, Path(folder))
    print("| texts | order | tokens a text | native, tokens/s | ours, tokens/s | ratio (range) | largest difference |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for name, texts in real_texts(arguments.texts).items():
        tokens = sum(map(len, pair["ours"].tokenizer(texts)["input_ids"]))
        for is_sorted in (True, False):
            seconds: dict[str, list[float]] = {"ours": [], "native": []}
            vectors = {one: encode(model, texts[:BATCH], is_sorted)[0] for one, model in pair.items()}
            difference = float(np.abs(vectors["ours"] - vectors["native"]).max())
            for turn in range(arguments.rounds):
                for one in ("ours", "native") if turn % 2 else ("native", "ours"):
                    seconds[one].append(encode(pair[one], texts, is_sorted)[1])
            ratios = [n / o for n, o in zip(seconds["native"], seconds["ours"], strict=True)]
            speeds = [tokens / statistics.median(seconds[one]) for one in ("native", "ours")]
            print(
                f"| {name} | {'sorted' if is_sorted else 'as given'} | {tokens / len(texts):.0f} | {speeds[0]:,.0f} | "
                f"{speeds[1]:,.0f} | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | "
                f"{difference:.1e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""A GGUF file against its release: ids on real text of every source, hidden states at several lengths.

    CHINESE_MODERNBERT_DATA=... python benchmarks/gguf_agreement.py --llama_cpp CHECKOUT [--release FOLDER]

Without a release it takes a model of size `base` with random weights and the shipped tokenizer, made by Transformers.
Ids: all of validation.jsonl.gz by document, and the first lines of every training file; as given, with the widths
folded, and prepared. Hidden states: every token, against Transformers' ModernBERT on one text cut to each length;
beside them Transformers' own with one theta for all layers, and with a window one token narrower, to show what a
mistake would cost.
"""

import argparse
import collections
import copy
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import ModernBertConfig, ModernBertModel

from chinese_modernbert.cli import SHIPPED_TOKENIZER
from chinese_modernbert.hub_release.arguments import GgufArguments
from chinese_modernbert.hub_release.checkpoint import read_config
from chinese_modernbert.hub_release.gguf.check import Binaries, embedding_of, find_binaries, tokens_of
from chinese_modernbert.hub_release.gguf.export import export_gguf, write_converter_input
from chinese_modernbert.hub_release.gguf.tokenizer import INEXPRESSIBLE, prepare_text
from chinese_modernbert.tokenization import find_text_files, fold_width, read_documents

LENGTHS = (1, 8, 32, 62, 63, 64, 128, 256, 512, 1000, 1998)
JOIN = "[SEP]"
JOINED_TEXTS = 500


def random_release(folder: Path) -> Path:
    """Save a base model with random weights, large enough that positions and windows matter, and our tokenizer."""
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=32_768,
        initializer_range=0.06,
        initializer_cutoff_factor=3.0,
        local_attention=128,
        pad_token_id=0,
        bos_token_id=2,
        cls_token_id=2,
        eos_token_id=3,
        sep_token_id=3,
    )
    ModernBertModel(config).save_pretrained(folder)
    for file in SHIPPED_TOKENIZER.glob("*.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def read_texts(lines_of_each: int) -> dict[str, list[str]]:
    """Return documents of the validation file and lines of the training files."""
    corpus = Path(os.environ["CHINESE_MODERNBERT_DATA"]) / "corpus"
    texts = {"validation": [one.text for one in read_documents([corpus / "validation.jsonl.gz"])]}
    for file in find_text_files([corpus / "train-*.jsonl.gz"]):
        lines: list[str] = []
        for document in read_documents([file]):
            lines += [line for line in document.text.split("\n") if line.strip()]
            if len(lines) >= lines_of_each:
                break
        texts[file.name.removeprefix("train-").removesuffix(".jsonl.gz")] = lines[:lines_of_each]
    return texts


def ids_of(binaries: Binaries, model: Path, texts: list[str]) -> list[list[int]]:
    """Return the ids of many texts; they are joined by a special token, which llama.cpp cuts at."""
    rows: list[list[int]] = []
    for first in range(0, len(texts), JOINED_TEXTS):
        ids = tokens_of(binaries, model, JOIN.join(texts[first : first + JOINED_TEXTS]))
        ends = [index for index, token in enumerate(ids) if token == 3]
        rows += [ids[start + 1 : end] for start, end in zip([0, *ends], ends, strict=False)]
    return rows


def compare_ids(binaries: Binaries, model: Path, tokenizer: Tokenizer, texts: dict[str, list[str]]) -> None:
    """Print the share of texts with equal ids, by source and way, and what differs."""
    print("| source | texts | as given | widths folded | prepared |\n| --- | --- | --- | --- | --- |")
    total: collections.Counter[str] = collections.Counter()
    kinds: dict[str, list[str]] = collections.defaultdict(list)
    for source, rows in texts.items():
        rows = [row for row in rows if JOIN not in row]
        wanted = [one.ids for one in tokenizer.encode_batch(rows, add_special_tokens=False)]
        given = ids_of(binaries, model, rows)
        folded = ids_of(binaries, model, [fold_width(row) for row in rows])
        prepared = ids_of(binaries, model, [prepare_text(tokenizer, row) for row in rows])
        equal = [sum(a == b for a, b in zip(wanted, got, strict=True)) for got in (given, folded, prepared)]
        print(
            f"| {source} | {len(rows)} | " + " | ".join(f"{n} ({n / len(rows):.2%})" for n in equal) + " |", flush=True
        )
        total.update(texts=len(rows), given=equal[0], folded=equal[1], prepared=equal[2])
        for row, want, got, got_folded, last in zip(rows, wanted, given, folded, prepared, strict=True):
            if last != want:
                kinds["U+2581 or U+0001" if any(one in row for one in INEXPRESSIBLE) else "unexplained"].append(row)
            elif got_folded != want:
                number = re.search("[0-9]{4,}", fold_width(row))
                kinds["number of four or more digits" if number else "other split"].append(number[0] if number else row)
            elif got != want:
                kinds["full width"].append(row)
    print(dict(total))
    for kind, rows in kinds.items():
        print(kind, len(rows), [row[:40] for row in rows[:12]])


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    """Return the cosine of two vectors."""
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def compare_states(binaries: Binaries, models: dict[str, Path], tokenizer: Tokenizer, encoder: Path, text: str) -> None:
    """Print cosines of hidden states: the mean's, and the worst token's."""
    reference = ModernBertModel.from_pretrained(encoder, attn_implementation="eager").eval()
    one_theta, narrow = copy.deepcopy(reference.config), copy.deepcopy(reference.config)
    thetas = one_theta.rope_parameters or {}
    thetas["sliding_attention"] = thetas["full_attention"]
    narrow.local_attention -= 2
    mistakes = {}
    for name, config in (("one theta", one_theta), ("window 63", narrow)):
        mistakes[name] = ModernBertModel.from_pretrained(encoder, config=config, attn_implementation="eager").eval()
    names = [*models, *mistakes]
    print("| tokens | " + " | ".join(f"{name}: mean, worst token" for name in names) + " |")
    print("| --- |" + " --- |" * len(names))
    ends = [end for _, end in tokenizer.encode(text, add_special_tokens=False).offsets]
    for length in LENGTHS:
        cut = text[: ends[length - 1]]
        ids = torch.tensor([tokenizer.encode(cut).ids])
        with torch.no_grad():
            wanted = reference(ids).last_hidden_state[0].double().numpy()
            others = [model(ids).last_hidden_state[0].double().numpy() for model in mistakes.values()]
        prepared = prepare_text(tokenizer, cut)
        shape = wanted.shape
        got = [embedding_of(binaries, file, prepared, *shape, pooling="none") for file in models.values()]
        means = [embedding_of(binaries, file, prepared, 1, shape[1])[0] for file in models.values()]
        means += [other.mean(0) for other in others]
        cells = []
        for states, mean in zip([*got, *others], means, strict=True):
            worst = min(cosine(a, b) for a, b in zip(states, wanted, strict=True))
            cells.append(f"{cosine(mean, wanted.mean(0)):.6f}, {worst:.6f}")
        print(f"| {shape[0]} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Convert in three types, compare ids with the first, hidden states with all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama_cpp", required=True)
    parser.add_argument("--release")
    parser.add_argument("--lines", type=int, default=600, help="lines of each training file")
    args = parser.parse_args()
    binaries = find_binaries(Path(args.llama_cpp))
    if binaries is None:
        raise SystemExit(f"{args.llama_cpp} is not built; build llama-tokenize and llama-embedding")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        release = Path(args.release) if args.release else random_release(folder / "release")
        models = {}
        for outtype in ("f32", "f16", "q8_0"):
            models[outtype] = folder / f"{outtype}.gguf"
            print(export_gguf(GgufArguments(str(release), args.llama_cpp, str(models[outtype]), outtype)), flush=True)
        tokenizer = Tokenizer.from_file(str(release / "tokenizer.json"))
        write_converter_input(release, read_config(release), folder / "encoder")
        texts = read_texts(args.lines)
        joined = "".join(texts["validation"][:100]).replace("\n", "")
        compare_ids(binaries, models["f32"], tokenizer, texts)
        compare_states(binaries, models, tokenizer, folder / "encoder", joined)


if __name__ == "__main__":
    main()

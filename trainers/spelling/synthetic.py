"""The command `spell pairs`: pairs from plain text and confusion sets, without a sentence of the named test files."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...evaluation.spelling import SpellingNoise, SpellingPair, read_noise
from ...evaluation.spelling.pairs import FIELDS
from ...runtime.counter_random import CounterRandom, stream_key
from ...runtime.files import open_atomically
from ...runtime.options import argument
from ...tokenization.documents import checked_field, read_documents, read_json_rows
from ...tokenization.pre_tokenization import HAN
from ..leakage import HeldOutTexts

logger = logging.getLogger(__name__)

_HAN = re.compile(f"[{HAN}]")


@dataclass
class SyntheticArguments:
    """From which texts and confusion sets to make pairs, and how many errors."""

    corpus: list[str] = argument(list, "Text files or folders; see prepare.", group="Data")
    text_field: str = argument("text", "Field of the text in JSON lines and Parquet files.")
    confusion: list[str] = argument(list, "Files of confusion sets, each a kind of error.", names=True)
    shares: list[float] = argument(list, "How often each kind is drawn; if none: all alike.", within="[0, inf)")
    leave_out: list[str] = argument(list, "Files of pairs; no sentence like theirs is taken.", names=True)
    leakage_similarity: float = argument(0.9, "From here on two sentences are alike; 1: equal.", within="[0.6, 1]")
    output_file: str = argument("pairs.jsonl", "JSON lines to write, source and target.", group="Output")
    overwrite: bool = argument(False, "Replace output_file.")

    rate: float = argument(
        0.1, "Chance of an error at each character that a set knows.", group="Errors", within="(0, 1]"
    )
    clean_share: float = argument(0.3, "Share of the sentences left without errors.", within="[0, 1)")
    sample_share: float = argument(1.0, "Share of the sentences that are taken.", within="(0, 1]")
    shortest: int = argument(8, "Characters of a sentence, at least.", within="[1, inf)")
    longest: int = argument(128, "Characters of a sentence, at most; longer ones are cut.", within="[1, inf)")
    minimum_han: float = argument(0.5, "Least share of Han characters.", within="[0, 1]")
    seed: int = argument(0, "Names the family of errors.")

    def __post_init__(self) -> None:
        if not self.corpus or not self.confusion:
            lacking = "corpus" if not self.corpus else "confusion"
            raise ValueError(f"no {lacking} is given; name files with --{lacking}")
        if self.shortest > self.longest:
            raise ValueError(f"shortest={self.shortest} is more than longest={self.longest}")
        if Path(self.output_file).suffix != ".jsonl":
            raise ValueError(f"output_file='{self.output_file}' must end in .jsonl")
        if Path(self.output_file).exists() and not self.overwrite:
            raise FileExistsError(f"{self.output_file} is there; give another output_file, or --overwrite")


def run_synthetic(args: SyntheticArguments) -> str:
    """Write the pairs and return what became of the sentences.

    A sentence gives the same pair whatever stands before it: its draws are named by the seed and its own text. So the
    files of a corpus may come in any order, and memory does not grow with it.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: With file and line, for what cannot be read; if no pair is left.
    """
    noise = read_noise(args.confusion, args.shares, args.rate, args.seed)
    for file in args.leave_out:
        if not Path(file).is_file():
            raise FileNotFoundError(f"no pairs at {file} to leave out; give JSON lines with {' and '.join(FIELDS)}")
    rows = [found for file in args.leave_out for found in read_json_rows(Path(file))]
    texts = [checked_field(row, name, location) for location, row in rows for name in FIELDS]
    held_out = HeldOutTexts({"left out": texts}, args.leakage_similarity)
    counts: Counter[str] = Counter()
    with open_atomically(args.output_file) as stream:
        for pair in synthetic_pairs(sentences_of(args, counts), noise, args.clean_share, held_out, counts):
            stream.write(json.dumps(pair._asdict(), ensure_ascii=False) + "\n")
        if not counts["pairs"]:
            raise ValueError(f"no sentence of the corpus gives a pair: {_shown(counts)}")
    return f"{args.output_file}: {_shown(counts)}"


def _shown(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items()) or "it holds none"


def sentences_of(args: SyntheticArguments, counts: Counter[str]) -> Iterator[str]:
    """Yield the sentences of a corpus that are fit to be written wrong; count the others by reason."""
    from ...modeling.characters_chinese_modernbert import cut_sentences

    for document in read_documents(args.corpus, args.text_field):
        for start, end in cut_sentences(document.text, args.longest):
            sentence = document.text[start:end].strip()
            if len(sentence) < args.shortest:
                counts["too short"] += 1
            elif len(_HAN.findall(sentence)) < args.minimum_han * len(sentence):
                counts["with little Han"] += 1
            elif _uniform(args.seed, "sample", sentence) < args.sample_share:
                yield sentence


def synthetic_pairs(
    sentences: Iterator[str],
    noise: SpellingNoise,
    clean_share: float,
    held_out: HeldOutTexts,
    counts: Counter[str],
) -> Iterator[SpellingPair]:
    """Yield a pair for each sentence that no evaluation holds.

    Args:
        sentences: sentences without errors
        noise: makes the errors
        clean_share: share of the pairs without errors, beside those in which no error was drawn
        held_out: sentences of evaluations
        counts: of pairs, those with errors, wrong characters and sentences left out; updated
    """
    for sentence in sentences:
        if held_out.holders(sentence):
            counts["of the files left out"] += 1
            continue
        is_clean = _uniform(noise.seed, "clean", sentence) < clean_share
        source = sentence if is_clean else noise.corrupt(sentence, stream_key(sentence))
        counts["pairs"] += 1
        counts["with errors"] += source != sentence
        counts["wrong characters"] += sum(a != b for a, b in zip(source, sentence, strict=True))
        yield SpellingPair(source, sentence)


def _uniform(seed: int, stream: str, text: str) -> float:
    """Return a number in (0, 1) that follows from seed, purpose and text alone."""
    zero = np.zeros(1, dtype=np.int64)
    return float(CounterRandom(seed, 0, np.array([stream_key(text)]))(stream, zero, zero)[0])

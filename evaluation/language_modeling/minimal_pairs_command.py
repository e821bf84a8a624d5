"""The command `minimal-pairs`."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...runtime.options import argument

if TYPE_CHECKING:
    from .minimal_pairs import MinimalPair
    from .minimal_pairs_report import ScoredModel

logger = logging.getLogger(__name__)

DATA_FOLDER = "CHINESE_MODERNBERT_DATA"
MASKINGS = ("token", "word")


@dataclass
class MinimalPairsArguments:
    """Which models to score, and on what."""

    models: list[str] = argument(list, "Folders or Hub names of masked language models.", group="Models and data")
    trust_remote_code: bool = argument(False, "Allow the models' own code from their folder or the Hub.")
    data: str = argument("", "JSON lines of pairs; if empty: zhoblimp in CHINESE_MODERNBERT_DATA.")
    limit: int | None = argument(None, "First pairs of each paradigm to score; null: all.", within="[2, inf)")
    output_dir: str = argument("minimal-pairs", "Folder of the report.", group="Output")
    overwrite: bool = argument(False, "Replace a report in output_dir.")

    masking: list[str] = argument(list, "Masked at once: token, word; if empty: both.", group="Scores", names=True)
    segmenter: Literal["rjieba", "jieba", "none"] = argument("rjieba", "Cuts the words that are masked at once.")
    resamples: int = argument(1_000, "Bootstrap samples behind the intervals.", within="[1, inf)")
    seed: int = argument(0, "Seed of the samples.")

    dtype: Literal["float32", "bfloat16"] = argument("float32", "Numbers of weights and states.", group="Machine")
    tokens_per_batch: int = argument(8_192, "Tokens of one forward.", within="[1, inf)")
    use_cpu: bool = argument(False, "Do not use a GPU.")

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("no model is given; name folders or Hub names: minimal-pairs MODEL [MODEL ...]")
        self.masking = list(dict.fromkeys(self.masking)) or list(MASKINGS)
        if set(self.masking) - set(MASKINGS):
            raise ValueError(f"masking={self.masking} must be of {', '.join(MASKINGS)}")


def run_minimal_pairs(args: MinimalPairsArguments) -> Path:
    """Score the models on every pair and return the report.

    Raises:
        FileExistsError: If output_dir holds a report and overwrite is off.
        FileNotFoundError: If the pairs are not there.
        ValueError: For pairs that cannot be read, or a folder without a masked language model.
    """
    from .loading import public_names
    from .minimal_pairs import read_pairs
    from .minimal_pairs_report import REPORT, write_pairs_report

    output = Path(args.output_dir)
    if (output / REPORT).exists() and not args.overwrite:
        raise FileExistsError(f"{output / REPORT} exists; give another output_dir, or overwrite")
    data = args.data or str(Path(os.environ.get(DATA_FOLDER, "data")) / "zhoblimp" / "zhoblimp.jsonl.gz")
    pairs = read_pairs(data, args.limit)
    scored = [_score_model(name, shown, pairs, args) for name, shown in public_names(args.models).items()]
    settings: dict[str, Any] = {
        "data": Path(data).name,
        "pairs": len(pairs),
        "paradigms": len({pair.paradigm for pair in pairs}),
        "limit": args.limit,
        "segmenter": args.segmenter,
        "dtype": args.dtype,
        "resamples": args.resamples,
        "seed": args.seed,
    }
    return write_pairs_report(output, scored, settings)


def _score_model(name: str, shown: str, pairs: list[MinimalPair], args: MinimalPairsArguments) -> ScoredModel:
    """Return a model's scores, by masking."""
    from ...tokenization.word_segmentation import load_segmenter
    from .loading import load_masked_language_model
    from .minimal_pairs import SCORES, score_pairs
    from .minimal_pairs_report import ScoredModel
    from .pseudo_likelihood import score_texts

    model, tokenizer = load_masked_language_model(name, args.dtype, args.use_cpu, args.trust_remote_code)
    segmenter = load_segmenter(args.segmenter)
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.good, pair.bad)))
    forwards, seconds, scores = {}, {}, {}
    for masking in args.masking:
        start = time.perf_counter()
        unit: Literal["token", "word"] = "word" if masking == "word" else "token"
        found = score_texts(model, tokenizer, texts, segmenter, unit, args.tokens_per_batch)
        seconds[masking] = time.perf_counter() - start
        forwards[masking] = found.rows
        tokens = dict(zip(texts, found.log_probabilities, strict=True))
        scores[masking] = {score: score_pairs(pairs, tokens, score, args.resamples, args.seed) for score in SCORES}
        share = scores[masking]["slln"].overall
        logger.info("%s, one %s masked at once: %s in %.0f s", name, masking, share, seconds[masking])
    return ScoredModel(shown, forwards, seconds, scores)

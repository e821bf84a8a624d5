"""All scores of a sentence encoder on scored sets and on retrieval, kept so that two encoders can be compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from ...runtime.files import read_record, write_text_atomically
from ..estimates import RESAMPLES, Estimate
from ..retrieval.measures import score_retrieval
from ..retrieval.tasks import RetrievalTask
from ..retrieval.vectors import PRECISIONS, encode_task, search_quantized, search_vectors
from .files import ScoredPair
from .similarity import (
    SpaceMetrics,
    compare_similarity,
    measure_space,
    pair_cosines,
    score_similarity,
    spearman_ceiling,
)

# Texts whose pairwise cosines measure the space. Source: our default; the cost grows with the square.
SPACE_TEXTS = 2_000
# From which score on a pair counts as positive for the alignment. Source: our default.
ALIGNED_SCORE = 0.8

# Files hold six decimals. Source: `SentenceScores.as_dict`.
GOLD_TOLERANCE = 1e-5

Encode = Callable[[Sequence[str]], np.ndarray]

SIMILARITY_SHAPE = {
    "scores": {...: dict},
    "ceiling": float,
    "pairs": int,
    "space": object,
    "gold": list,
    "cosines": list,
}


@dataclass
class SimilarityResult:
    """What an encoder scores on one set of pairs.

    Attributes:
        scores: measure -> estimate
        ceiling: highest Spearman that this gold allows
        pairs: number of pairs
        space: measures of the space of the set's texts; None where no pair is clearly positive
        gold: float `[N]`
        cosines: float `[N]`
    """

    scores: dict[str, Estimate]
    ceiling: float
    pairs: int
    space: SpaceMetrics | None
    gold: np.ndarray
    cosines: np.ndarray

    def refuse_other_pairs(self, name: str, gold: np.ndarray) -> None:
        """Refuse a set of the same name whose gold, float `[N]`, is another.

        Raises:
            ValueError: With the name.
        """
        if self.gold.shape != gold.shape or not np.allclose(self.gold, gold, atol=GOLD_TOLERANCE):
            raise ValueError(f"{name}: the two encoders were scored on other pairs; score both on the same data")


@dataclass
class SentenceScores:
    """All results of one encoder, by set."""

    similarity: dict[str, SimilarityResult] = field(default_factory=dict)
    retrieval: dict[str, dict[str, float]] = field(default_factory=dict)

    def gains_over(self, other: SentenceScores, resamples: int = RESAMPLES) -> dict[str, Estimate]:
        """Return the paired gain in Spearman over another encoder on every set that both have.

        Raises:
            ValueError: If a set of the same name holds other pairs.
        """
        shared = [name for name in self.similarity if name in other.similarity]
        for name in shared:
            other.similarity[name].refuse_other_pairs(name, self.similarity[name].gold)
        return {
            name: compare_similarity(
                self.similarity[name].gold,
                self.similarity[name].cosines,
                other.similarity[name].cosines,
                resamples,
            )
            for name in shared
        }

    def save(self, path: Path) -> None:
        """Write everything, cosines included, as JSON."""
        write_text_atomically(path, json.dumps(self.as_dict(), ensure_ascii=False) + "\n")

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        similarity = {
            name: {
                "scores": {measure: asdict(estimate) for measure, estimate in one.scores.items()},
                "ceiling": one.ceiling,
                "pairs": one.pairs,
                "space": None if one.space is None else asdict(one.space),
                "gold": one.gold.round(6).tolist(),
                "cosines": one.cosines.round(6).tolist(),
            }
            for name, one in self.similarity.items()
        }
        return {"similarity": similarity, "retrieval": self.retrieval}

    @classmethod
    def load(cls, path: Path) -> SentenceScores:
        """Read what `save` wrote."""
        found = read_record(
            path, {"similarity": {...: SIMILARITY_SHAPE}, "retrieval": dict}, "delete it to score again"
        )
        similarity = {
            name: SimilarityResult(
                {measure: Estimate(**estimate) for measure, estimate in one["scores"].items()},
                one["ceiling"],
                one["pairs"],
                None if one["space"] is None else SpaceMetrics(**one["space"]),
                np.array(one["gold"]),
                np.array(one["cosines"]),
            )
            for name, one in found["similarity"].items()
        }
        return cls(similarity, found["retrieval"])


def evaluate_similarity(
    encode: Encode, pairs: Sequence[ScoredPair], resamples: int = RESAMPLES, seed: int = 0
) -> SimilarityResult:
    """Score an encoder on pairs.

    Args:
        encode: texts to vectors, float `[N, D]`
        pairs: pairs with gold similarity; each distinct text is encoded once
        resamples: bootstrap samples
        seed: seed of samples and of the texts that measure the space
    """
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.first, pair.second)))
    number = {text: i for i, text in enumerate(texts)}
    vectors = np.asarray(encode(texts), dtype=np.float64)
    first, second = (vectors[[number[text] for text in side]] for side in zip(*map(_texts, pairs), strict=True))
    gold = np.array([pair.score for pair in pairs])
    cosines = pair_cosines(first, second)
    chosen = np.random.default_rng(seed).permutation(len(texts))[:SPACE_TEXTS]
    alike = gold >= ALIGNED_SCORE
    return SimilarityResult(
        score_similarity(gold, cosines, resamples, seed),
        spearman_ceiling(gold),
        len(pairs),
        measure_space(vectors[chosen], (first[alike], second[alike])) if alike.any() and len(chosen) > 1 else None,
        gold,
        cosines,
    )


def score_values(values: np.ndarray, pairs: Sequence[ScoredPair], resamples: int, seed: int = 0) -> SimilarityResult:
    """Score similarities that come from no vectors, float `[N]`, one per pair."""
    gold = np.array([pair.score for pair in pairs])
    scores = score_similarity(gold, values, resamples, seed)
    return SimilarityResult(scores, spearman_ceiling(gold), len(pairs), None, gold, values)


def evaluate_encoder(
    model: SentenceTransformer,
    scored: Mapping[str, Sequence[ScoredPair]],
    retrieval: Mapping[str, RetrievalTask],
    resamples: int = RESAMPLES,
) -> SentenceScores:
    """Score an encoder on every set; similarity compares texts as they are, retrieval with the model's prompts."""

    def encode(texts: Sequence[str]) -> np.ndarray:
        return np.asarray(model.encode(list(texts), show_progress_bar=False, convert_to_numpy=True))

    return SentenceScores(
        {name: evaluate_similarity(encode, pairs, resamples) for name, pairs in scored.items()},
        {name: evaluate_retrieval(model, task) for name, task in retrieval.items()},
    )


def evaluate_retrieval(model: SentenceTransformer, task: RetrievalTask) -> dict[str, float]:
    """Score an encoder on retrieval, with float vectors and with quantized ones.

    Returns:
        The measures of `score_retrieval`, and `ndcg@10 NAME` for each way to quantize of `PRECISIONS`.
    """
    queries, passages = encode_task(model, task)
    found = score_retrieval(task, *search_vectors(queries, passages))
    for precision in PRECISIONS:
        kept = score_retrieval(task, *search_quantized(queries, passages, precision))
        found[f"ndcg@10 {precision}"] = kept["ndcg@10"]
    return found


def _texts(pair: ScoredPair) -> tuple[str, str]:
    return pair.first, pair.second

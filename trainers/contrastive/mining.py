"""Hard negatives: texts near a query that do not answer it, and what is left out because it may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.util import mine_hard_negatives

from ...evaluation.retrieval.bm25 import Bm25Searcher
from ...evaluation.retrieval.late_interaction import LateInteractionSearcher
from ...evaluation.retrieval.loading import SearchModel, load_search_model, search_class
from ...evaluation.retrieval.searcher import Searcher
from ...evaluation.retrieval.sparse import SparseSearcher
from ...evaluation.sentences.rows import Triplet
from ...runtime.files import model_files_fingerprint
from ...tokenization import load_segmenter
from .options import ContrastiveStage

MODEL, BM25 = "model", "bm25"

# A mined negative comes from the nearest this many texts of the set. Source: our default.
MINING_DEPTH = 50
# A judge reads each of them with the query, so it gets fewer. Source: our default.
JUDGED_DEPTH = 20
# The positive's score is known where it is among the best this many. Source: our default.
SEARCH_DEPTH = 1_000
QUERIES_AT_ONCE = 512


def negatives_source(
    name: str | None, model: SearchModel, trust_remote_code: bool = False
) -> SentenceTransformer | Searcher:
    """Return what finds negatives.

    Args:
        name: `model`, `bm25` or a folder; None is the model, and BM25 for a reranker
        model: what is trained
        trust_remote_code: whether code of others that lies in the folder is run

    Raises:
        ValueError: If it is a reranker, which finds nothing by itself.
    """
    if name == BM25 or (name is None and isinstance(model, CrossEncoder)):
        return Bm25Searcher(load_segmenter())
    found = model if name in (None, MODEL) else load_search_model(name, trust_remote_code)
    if isinstance(found, CrossEncoder):
        raise ValueError(f"negatives_from='{name}' is a reranker, which only ranks what another finds; use bm25")
    if isinstance(found, SparseEncoder):
        return SparseSearcher(found)
    return LateInteractionSearcher(found) if isinstance(found, MultiVectorEncoder) else found


def check_models(stage: ContrastiveStage) -> None:
    """Refuse a teacher or a source of negatives that is none, before any work.

    Raises:
        ValueError, FileNotFoundError: For a folder of no model for search, or one of another kind.
    """
    if stage.negatives_from not in (None, MODEL, BM25) and search_class(stage.negatives_from) is CrossEncoder:
        raise ValueError(f"negatives_from='{stage.negatives_from}' is a reranker, which finds nothing; use bm25")
    if stage.teacher and search_class(stage.teacher) is not CrossEncoder:
        raise ValueError(f"teacher='{stage.teacher}' is a {search_class(stage.teacher).__name__}; give a reranker")


def named_models(stage: ContrastiveStage) -> dict[str, str]:
    """Return what names the weights of the folders that a stage reads beside its own model, by option."""
    folders = {"negatives_from": stage.negatives_from, "teacher": stage.teacher}
    return {
        name: model_files_fingerprint(folder)
        for name, folder in folders.items()
        if folder is not None and folder not in (MODEL, BM25)
    }


def mine(
    triplets: Sequence[Triplet],
    source: SentenceTransformer | Searcher,
    count: int,
    margin: float,
    judge: CrossEncoder | None = None,
) -> list[Triplet]:
    """Return the triplets with up to `count` mined negatives before their given ones.

    Candidates are the other positives of the same set, the nearest first. One whose score comes within `margin` (as a
    share of the positive's own score) is taken for a false negative and left out, and so is any text that is known to
    mean the same as the anchor (`known_positives`). Source: the filter of NV-Retriever (arXiv 2407.15831) at 95 %.

    Args:
        triplets: rows of one set
        source: finds the candidates: a dense encoder, or search of any other kind
        count: most negatives of a row
        margin: share of the positive's score
        judge: scores the candidates and the positive in place of the source, which only finds them
    """
    corpus = list(dict.fromkeys(triplet.positive for triplet in triplets))
    if len(corpus) < 2:
        return list(triplets)
    rows: Any = mine_hard_negatives(
        known_positives(triplets),
        source if isinstance(source, SentenceTransformer) else _AsEncoder(source),  # pyright: ignore[reportArgumentType]
        corpus=corpus,
        range_max=min(MINING_DEPTH if judge is None else JUDGED_DEPTH, len(corpus) - 1),
        relative_margin=margin,
        num_negatives=min(count, len(corpus) - 1),
        cross_encoder=judge,
        output_format="triplet",
        faiss_batch_size=QUERIES_AT_ONCE,
        verbose=False,
    )
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        found.setdefault(row["anchor"], {})[row["negative"]] = None
    mined = []
    for triplet in triplets:
        own = dict.fromkeys(list(found.get(triplet.anchor, {}))[:count])
        mined.append(Triplet(triplet.anchor, triplet.positive, tuple({**own, **dict.fromkeys(triplet.negatives)})))
    return mined


def known_positives(triplets: Sequence[Triplet]) -> Dataset:
    """Return each anchor with every text that the set itself says is no negative of it, as `anchor` and `positive`.

    These are its positives, the texts whose positive it is, and itself: in a set of paraphrases a text is an anchor in
    one row and a positive in another.
    """
    known: dict[str, dict[str, None]] = {}
    for triplet in triplets:
        known.setdefault(triplet.anchor, {})[triplet.positive] = None
    texts = {text for found in known.values() for text in found}
    for triplet in triplets:
        if triplet.positive in known and triplet.anchor in texts:
            known[triplet.positive][triplet.anchor] = None
    for anchor, found in known.items():
        if anchor in texts:
            found[anchor] = None
    pairs = [(anchor, text) for anchor, found in known.items() for text in found]
    return Dataset.from_dict({"anchor": [a for a, _ in pairs], "positive": [b for _, b in pairs]})


class _AsEncoder:
    """A searcher in the place of an encoder, so that the library mines with it: texts go by their numbers.

    Args:
        searcher: finds and scores texts
    """

    device = torch.device("cpu")

    def __init__(self, searcher: Searcher) -> None:
        self.searcher = searcher
        self.queries: list[str] = []

    def encode_document(self, texts: Sequence[str], **options: Any) -> np.ndarray:
        """Take in the texts that are searched and return their numbers."""
        self.searcher.build(texts)
        return np.arange(len(texts))

    def encode_query(self, texts: Sequence[str], **options: Any) -> np.ndarray:
        """Keep the queries and return their numbers."""
        self.queries = list(texts)
        return np.arange(len(texts))

    def similarity(self, queries: np.ndarray, passages: torch.Tensor) -> torch.Tensor:
        """Return scores float `[Q, P]`; what is not found scores minus infinity, so that it is never a negative."""
        numbers, scores = self.searcher.search([self.queries[number] for number in queries], SEARCH_DEPTH)
        table = np.full((len(queries), len(passages)), -np.inf)
        np.put_along_axis(table, numbers, scores, axis=1)
        return torch.from_numpy(table)

    def similarity_pairwise(self, queries: np.ndarray, passages: torch.Tensor) -> torch.Tensor:
        """Return the score of each query with the passage in its place, `[N]`."""
        every = torch.arange(int(passages.max()) + 1)
        parts = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            asked, rows = np.unique(queries[start : start + QUERIES_AT_ONCE], return_inverse=True)
            table = self.similarity(asked, every)
            parts.append(table[torch.from_numpy(rows), passages[start : start + QUERIES_AT_ONCE]])
        return torch.cat(parts)

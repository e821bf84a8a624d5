"""Every searcher has the measures of sentence-transformers' evaluator for its kind of model, and says what it costs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import zscore
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
from sentence_transformers.multi_vector_encoder.evaluation import MultiVectorInformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sparse_encoder.evaluation import (
    ReciprocalRankFusionEvaluator,
    SparseInformationRetrievalEvaluator,
)

from chinese_modernbert.evaluation.retrieval.bm25 import Bm25Searcher
from chinese_modernbert.evaluation.retrieval.combined import FusedSearcher, RerankingSearcher, standardized
from chinese_modernbert.evaluation.retrieval.late_interaction import LateInteractionSearcher
from chinese_modernbert.evaluation.retrieval.measures import score_retrieval
from chinese_modernbert.evaluation.retrieval.searcher import NOT_FOUND, Searcher, best_hits, weight_bytes
from chinese_modernbert.evaluation.retrieval.sparse import SparseSearcher
from chinese_modernbert.evaluation.retrieval.tasks import RetrievalTask
from chinese_modernbert.evaluation.retrieval.vectors import DenseSearcher


def measured(searcher: Searcher, task: RetrievalTask) -> dict[str, float]:
    searcher.build(task.passages)
    return score_retrieval(task, *searcher.search(task.queries))


def library_measures(evaluator: type[Any], model: Any, task: RetrievalTask, prefix: str, **options: Any) -> list[float]:
    """Return what an evaluator of the library says of a model: nDCG@10, MRR@10, recall at 1 and 10."""
    queries = {str(number): text for number, text in enumerate(task.queries)}
    corpus = {f"{number:03}": text for number, text in enumerate(task.passages)}
    relevant = {str(number): {f"{one:03}" for one in found} for number, found in enumerate(task.relevant)}
    found = evaluator(queries, corpus, relevant, write_csv=False, **options)(model)
    return [found[f"{prefix}_{name}@{k}"] for name, k in (("ndcg", 10), ("mrr", 10), ("recall", 1), ("recall", 10))]


def own(found: dict[str, float]) -> list[float]:
    return [found[name] for name in ("ndcg@10", "mrr@10", "recall@1", "recall@10")]


def test_dense_search_is_that_of_the_library(dense: SentenceTransformer, task: RetrievalTask) -> None:
    expected = library_measures(InformationRetrievalEvaluator, dense, task, "cosine")
    assert own(measured(DenseSearcher(dense), task)) == pytest.approx(expected)
    assert 0.05 < expected[0] < 0.95


@pytest.mark.parametrize("keep", [None, 8])
def test_sparse_search_is_that_of_the_library(sparse: SparseEncoder, task: RetrievalTask, keep: int | None) -> None:
    searcher = SparseSearcher(sparse, keep)
    expected = library_measures(SparseInformationRetrievalEvaluator, sparse, task, "dot")
    if keep is None:
        assert own(measured(searcher, task)) == pytest.approx(expected)
        assert searcher.kind == "sparse"
        return
    searcher.build(task.passages)
    vectors = np.asarray(sparse.encode_document(list(task.passages), convert_to_sparse_tensor=False))
    for row, kept in zip(vectors, searcher.index.T.toarray(), strict=True):
        heaviest = np.argsort(-row)[:keep]
        assert np.array_equal(np.flatnonzero(kept), np.sort(heaviest))
        assert kept[heaviest] == pytest.approx(row[heaviest])


def test_sparse_search_without_an_encoder_for_queries(sparse_documents: SparseEncoder, task: RetrievalTask) -> None:
    searcher = SparseSearcher(sparse_documents)
    expected = library_measures(SparseInformationRetrievalEvaluator, sparse_documents, task, "dot")
    assert own(measured(searcher, task)) == pytest.approx(expected)
    assert searcher.kind == "sparse_documents"


def test_late_interaction_is_that_of_the_library(late_interaction: MultiVectorEncoder, task: RetrievalTask) -> None:
    expected = library_measures(MultiVectorInformationRetrievalEvaluator, late_interaction, task, "maxsim")
    assert own(measured(LateInteractionSearcher(late_interaction), task)) == pytest.approx(expected)


def test_late_interaction_compares_passages_of_any_length_one_by_one(
    late_interaction: MultiVectorEncoder, task: RetrievalTask
) -> None:
    searcher = LateInteractionSearcher(late_interaction)
    searcher.build(task.passages)
    numbers, scores = searcher.search(task.queries[:3], depth=50)
    queries = late_interaction.encode_query(list(task.queries[:3]))
    for query, row, values in zip(queries, numbers, scores, strict=True):
        for number, value in zip(row[::7], values[::7], strict=True):
            tokens = late_interaction.encode_document(task.passages[number])
            assert value == pytest.approx(float((query @ tokens.T).max(dim=1).values.sum()), abs=1e-4)


def test_pooled_tokens_make_a_smaller_index(late_interaction: MultiVectorEncoder, task: RetrievalTask) -> None:
    whole, half = (LateInteractionSearcher(late_interaction, factor) for factor in (1, 2))
    whole.build(task.passages)
    half.build(task.passages)
    tokens = [len(one) for one in late_interaction.encode_document(list(task.passages))]
    assert whole.index_bytes == 128 * 4 * sum(tokens)
    assert half.index_bytes == 128 * 4 * sum(1 + max((count - 1) // 2, 1) for count in tokens)


def test_a_reranker_is_that_of_the_library(reranker: CrossEncoder, task: RetrievalTask, characters: Any) -> None:
    found = measured(RerankingSearcher(Bm25Searcher(characters), reranker, depth=50), task)
    samples = [
        {"query": query, "positive": [task.passages[one] for one in found], "documents": list(task.passages)}
        for query, found in zip(task.queries, task.relevant, strict=True)
    ]
    expected = CrossEncoderRerankingEvaluator(samples, at_k=10, write_csv=False)(reranker)
    assert [found["ndcg@10"], found["mrr@10"]] == pytest.approx([expected["ndcg@10"], expected["mrr@10"]])


def test_hits_that_a_reranker_did_not_read_follow_in_their_order(
    reranker: CrossEncoder, task: RetrievalTask, characters: Any
) -> None:
    first = Bm25Searcher(characters)
    searcher = RerankingSearcher(first, reranker, depth=5)
    searcher.build(task.passages)
    before, _ = first.search(task.queries, depth=20)
    after, scores = searcher.search(task.queries, depth=20)
    assert np.array_equal(np.sort(before[:, :5]), np.sort(after[:, :5]))
    assert np.array_equal(before[:, 5:], after[:, 5:])
    assert (np.diff(scores) <= 0).all()
    pairs = [(task.queries[0], task.passages[number]) for number in after[0, :5]]
    logits = reranker.predict(pairs, activation_fn=torch.nn.Identity())
    assert (np.diff(logits) <= 0).all() and scores[0, :5] == pytest.approx(logits, abs=1e-5)
    assert searcher.search(task.queries[:1], depth=3)[0].tolist() == after[:1, :3].tolist()


def test_ranks_are_fused_as_in_the_library(dense: SentenceTransformer, task: RetrievalTask, characters: Any) -> None:
    searchers = [DenseSearcher(dense), Bm25Searcher(characters)]
    found = measured(FusedSearcher(searchers, "ranks"), task)
    samples = []
    for searcher in searchers:
        numbers, scores = searcher.search(task.queries)
        samples.append(
            [
                {
                    "query_id": str(query),
                    "query": task.queries[query],
                    "positive": [task.passages[one] for one in task.relevant[query]],
                    "documents": [task.passages[one] for one in row[values != NOT_FOUND]],
                }
                for query, (row, values) in enumerate(zip(numbers, scores, strict=True))
            ]
        )
    expected = ReciprocalRankFusionEvaluator(*samples, at_k=10, rrf_k=60, write_csv=False)()
    assert [found["ndcg@10"], found["mrr@10"]] == pytest.approx([expected["ndcg@10"], expected["mrr@10"]])


def test_a_search_fused_by_ranks_lists_a_passage_that_one_has_far_down(characters: Any) -> None:
    class Fixed:
        kind, index_bytes, model_bytes = "dense", 1, 2

        def __init__(self, order: list[int]) -> None:
            self.order = np.array([order])

        def build(self, passages: Any) -> None:
            pass

        def search(self, queries: Any, depth: int = 100) -> tuple[np.ndarray, np.ndarray]:
            return self.order[:, :depth], -np.arange(min(depth, 6))[None].astype(float)

    parts = [Fixed([0, 1, 2, 3, 4, 5]), Fixed([5, 3, 1, 0, 2, 4]), Fixed([5, 4, 3, 2, 1, 0])]
    fused = FusedSearcher(parts, "ranks")
    numbers, scores = fused.search(["q"], depth=2)
    assert numbers.tolist() == [[5, 3]]
    assert scores[0] == pytest.approx([1 / 66 + 2 / 61, 1 / 64 + 1 / 62 + 1 / 63])
    assert (fused.index_bytes, fused.model_bytes) == (3, 6)


def test_fusion_by_scores_adds_what_stands_out_to_each(
    dense: SentenceTransformer, task: RetrievalTask, characters: Any
) -> None:
    parts = [DenseSearcher(dense), Bm25Searcher(characters)]
    fused = FusedSearcher(parts)
    fused.build(task.passages)
    numbers, scores = fused.search(task.queries, depth=7)
    for query, text in enumerate(task.queries):
        totals = np.zeros(50)
        for one in parts:
            (row,), (values,) = one.search([text], depth=50)
            totals[row] += np.asarray(zscore(np.where(values == NOT_FOUND, 0, values).astype(float)))
        best = np.argsort(-totals, kind="stable")[:7]
        assert scores[query] == pytest.approx(totals[best]) and numbers[query].tolist() == best.tolist()
    alone = parts[1].search(task.queries[:1], depth=7)[0]
    flat = FusedSearcher([parts[1], Flat()])  # what tells no passages apart changes nothing
    assert flat.search(task.queries[:1], depth=7)[0].tolist() == alone.tolist()


@pytest.mark.parametrize("size", [1.0, 30.0, 2e-3])
def test_what_differs_by_rounding_alone_has_no_say_in_a_fusion(size: float) -> None:
    drawn = np.random.default_rng(0)
    level = np.float32(size) * (1 + drawn.integers(-4, 5, (3, 200)) * np.finfo(np.float32).eps)
    assert np.unique(level.astype(np.float32)).size > 2
    assert not standardized(level.astype(np.float32)).any()
    telling = level + size * 1e-3 * drawn.standard_normal((3, 200))
    assert standardized(telling) == pytest.approx(zscore(telling, axis=1), rel=1e-4)


class Flat:
    """Finds all of fifty passages equally good."""

    kind, index_bytes, model_bytes = "dense", 1, 2

    def build(self, passages: Any) -> None:
        pass

    def search(self, queries: Any, depth: int = 100) -> tuple[np.ndarray, np.ndarray]:
        return np.tile(np.arange(50), (len(queries), 1)), np.full((len(queries), 50), 0.3)


def test_what_no_word_finds_is_not_found_and_adds_nothing_to_a_fusion(
    dense: SentenceTransformer, task: RetrievalTask, characters: Any, reranker: CrossEncoder
) -> None:
    words, vectors = Bm25Searcher(characters), DenseSearcher(dense)
    reranked = RerankingSearcher(words, reranker)
    fused = [FusedSearcher([words, vectors], by) for by in ("scores", "ranks")]
    fused[0].build(task.passages)
    reranked.build(task.passages)
    unknown = ["犇", ""]
    for searcher in (words, reranked):
        numbers, scores = searcher.search(unknown, depth=20)
        assert numbers.shape == (2, 20) and (scores == NOT_FOUND).all()
    for one in fused:
        assert np.array_equal(one.search(unknown, depth=20)[0], vectors.search(unknown, depth=20)[0])
    twice = FusedSearcher([words, words]).search([*unknown, task.queries[0]], depth=50)[1]
    assert (twice[:2] == NOT_FOUND).all() and 0 < (twice[2] == NOT_FOUND).sum() < 50


def test_sizes_are_those_of_the_files(
    tmp_path: Path, dense: SentenceTransformer, sparse: SparseEncoder, task: RetrievalTask, characters: Any
) -> None:
    sparse.save(str(tmp_path / "model"))
    stored = (tmp_path / "model" / "model.safetensors").stat().st_size
    assert weight_bytes(sparse) == pytest.approx(stored, rel=0.1)
    vectors, words = DenseSearcher(dense), Bm25Searcher(characters)
    vectors.build(task.passages)
    words.build(task.passages)
    assert vectors.index_bytes == 50 * 32 * 4
    words._index.save(tmp_path / "bm25")
    arrays = sum(file.stat().st_size for file in (tmp_path / "bm25").glob("*.npy"))
    assert words.index_bytes == pytest.approx(arrays, rel=0.15)


def test_equal_scores_come_in_the_order_of_the_passages() -> None:
    numbers, scores = best_hits(np.array([[1.0, 3, 2, 3, 1, 1], [0, 0, 0, 0, 0, 0]]), 4)
    assert numbers.tolist() == [[1, 3, 2, 0], [0, 1, 2, 3]]
    assert scores.tolist() == [[3, 3, 2, 1], [0, 0, 0, 0]]


def test_a_searcher_that_cannot_search_is_refused(
    dense: SentenceTransformer,
    sparse: SparseEncoder,
    late_interaction: MultiVectorEncoder,
    reranker: CrossEncoder,
    checkpoint: Path,
) -> None:
    with pytest.raises(RuntimeError, match="call build"):
        DenseSearcher(dense).search(["q"])
    with pytest.raises(ValueError, match="keep=0 leaves no term"):
        SparseSearcher(sparse, 0)
    with pytest.raises(ValueError, match="pool_factor=0 must be 1 or more"):
        LateInteractionSearcher(late_interaction, 0)
    with pytest.raises(ValueError, match="1 searchers cannot be fused"):
        FusedSearcher([DenseSearcher(dense)])
    with pytest.raises(ValueError, match="by='rank' is not known; choose scores or ranks"):
        FusedSearcher([DenseSearcher(dense)] * 2, "rank")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="a reranker scores the hits that it reads alone; fuse it by ranks"):
        FusedSearcher([DenseSearcher(dense), RerankingSearcher(DenseSearcher(dense), reranker)])
    with pytest.raises(ValueError, match="gives 3 numbers, a reranker one"):
        RerankingSearcher(DenseSearcher(dense), CrossEncoder(str(checkpoint), num_labels=3, device="cpu"))
    dense.similarity_fn_name = "euclidean"
    try:
        with pytest.raises(ValueError, match="compares by 'euclidean'"):
            DenseSearcher(dense)
    finally:
        dense.similarity_fn_name = "cosine"


def searcher_of(kind: str, characters: Any, model: Any) -> Any:
    """Return the searcher of a model; a reranker reads what BM25 over single characters finds."""
    made: dict[str, Any] = {
        "dense": DenseSearcher,
        "sparse": SparseSearcher,
        "late_interaction": LateInteractionSearcher,
        "reranker": lambda one: RerankingSearcher(Bm25Searcher(characters), one),
    }
    return made[kind](model)


@pytest.mark.parametrize("kind", ["dense", "sparse", "late_interaction", "reranker"])
def test_a_passage_of_100_000_characters_is_cut_by_the_model(
    kind: str, request: pytest.FixtureRequest, characters: Any
) -> None:
    model = request.getfixturevalue(kind)
    searcher = searcher_of(kind, characters, model)
    searcher.build(["北京是首都", "北京天气" * 25_000])
    _, scores = searcher.search(["北京天气"])
    assert scores.shape == (1, 2) and np.isfinite(scores).all()


@pytest.mark.parametrize("kind", ["words", "dense", "sparse", "late_interaction", "reranker", "scores", "ranks"])
def test_what_is_no_list_of_texts_is_refused_by_every_searcher(
    kind: str, request: pytest.FixtureRequest, characters: Any
) -> None:
    words = Bm25Searcher(characters)
    model = request.getfixturevalue(kind if kind in ("sparse", "late_interaction", "reranker") else "dense")
    made: dict[str, Any] = {
        "words": lambda: words,
        "dense": lambda: DenseSearcher(model),
        "sparse": lambda: SparseSearcher(model),
        "late_interaction": lambda: LateInteractionSearcher(model),
        "reranker": lambda: RerankingSearcher(words, model),
        "scores": lambda: FusedSearcher([words, DenseSearcher(model)]),
        "ranks": lambda: FusedSearcher([words, DenseSearcher(model)], "ranks"),
    }
    searcher = made[kind]()
    with pytest.raises(RuntimeError, match="call build"):
        searcher.search(["北京"])
    for passages, message in (
        ("北京天气", "passages is one text"),
        ([], "no passages"),
        (["北京", 3], r"\[1\] is int"),
    ):
        with pytest.raises(ValueError, match=message):
            searcher.build(passages)
    searcher.build(["北京天气", "长城", "北京"])
    for queries, message in (("北京", "queries is one text, expected a list"), ([None], r"queries\[0\] is NoneType")):
        with pytest.raises(ValueError, match=message):
            searcher.search(queries)
    with pytest.raises(ValueError, match="depth=0 lists no passage; give 1 or more"):
        searcher.search(["北京"], depth=0)
    assert [one.shape[0] for one in searcher.search([])] == [0, 0]


@pytest.mark.parametrize("kind", ["dense", "sparse", "late_interaction", "reranker"])
def test_weights_that_are_no_numbers_and_models_of_another_kind_are_refused(
    kind: str, request: pytest.FixtureRequest, characters: Any
) -> None:
    model = copy.deepcopy(request.getfixturevalue(kind))
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match="scores that are no numbers"):
        searcher = searcher_of(kind, characters, model)
        searcher.build(["北京天气", "长城"])
        searcher.search(["北京"])
    other = request.getfixturevalue("dense" if kind == "sparse" else "sparse")
    with pytest.raises(ValueError, match=f"the model is a {type(other).__name__}, this search needs a"):
        searcher_of(kind, characters, other)

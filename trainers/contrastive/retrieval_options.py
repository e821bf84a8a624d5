"""Our own options of `retrieval`: the kinds of models for search."""

import dataclasses
from typing import Literal

from ...runtime.options import argument
from .options import DenseOptions, StageOptions

SPARSE = ("sparse", "sparse_documents")


@dataclasses.dataclass
class SparseOptions:
    """What a sparse encoder is, and how its vectors are compared in training.

    Sources of the defaults: ours. The temperature is that of benchmarks/2026-11-27-search-sparse.md; the regularizers
    are near those of SPLADE (arXiv 2109.10086) and not tuned.
    """

    document_regularizer: float = argument(
        1e-4, "Weight of FLOPS on documents: more leaves fewer terms.", group="Sparse vectors", within="[0, inf)"
    )
    query_regularizer: float = argument(1e-4, "Weight of FLOPS on queries (sparse).", within="[0, inf)")
    product_temperature: float = argument(
        5.0, "Inner products, which are no cosines, are divided by it before the softmax.", within="(0, inf)"
    )
    query_learning_rate: float = argument(
        1e-2, "Peak learning rate of the table of the queries' weights (sparse_documents).", within="[0, inf)"
    )
    expansion: bool = argument(True, "Give weights to tokens that a text does not hold, too; false: to its own alone.")
    stop_tokens: bool = argument(True, "Give no weight to marks, special tokens and bytes of characters.")


ACTS_FOR: dict[str, tuple[str, ...]] = {
    **{field.name: ("dense", "static") for field in dataclasses.fields(DenseOptions)},
    **{field.name: SPARSE for field in dataclasses.fields(SparseOptions)},
    "query_regularizer": ("sparse",),
    "query_learning_rate": ("sparse_documents",),
    "token_size": ("late_interaction",),
    "static_size": ("static",),
    "lora_rank": ("dense", *SPARSE, "late_interaction", "reranker"),
    "document_prompt": ("dense", "static", *SPARSE, "late_interaction"),
}
"""The kinds that an option acts for in training, where it does not act for all."""


@dataclasses.dataclass
class RetrievalOptions(SparseOptions, DenseOptions, StageOptions):
    """Our own options of `retrieval`.

    What is said of searching acts for the models of `against` too, each by its own kind.
    """

    kind: Literal["dense", "static", "sparse", "sparse_documents", "late_interaction", "reranker"] = argument(
        "dense", "What is trained; static: a table of tokens; sparse_documents: a table for queries.", group="Search"
    )
    hybrid: bool = argument(True, "Measure each model fused with BM25, too.")
    fusion: Literal["scores", "ranks"] = argument("scores", "What a fusion adds up.")
    bm25_units: Literal["words", "tokens"] = argument("words", "What BM25 counts; tokens: those of model.")
    rerank_depth: int = argument(50, "Hits of BM25 that a reranker reads.", within="[1, inf)")
    keep_tokens: int | None = argument(
        None, "Heaviest tokens of a passage in a sparse index; null: all.", within="[1, inf)"
    )
    pool_factor: int = argument(1, "Tokens of a passage that late interaction joins.", within="[1, inf)")
    token_size: int = argument(64, "Length of a token's vector in late interaction.", within="[1, inf)")
    static_size: int = argument(256, "Length of a static vector, at most the encoder's.", within="[1, inf)")

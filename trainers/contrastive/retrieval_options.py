"""Our own options of `retrieval`: the kinds of models for search."""

import dataclasses
from typing import Literal

from ...runtime.options import argument
from .options import DenseOptions, StageOptions

ACTS_FOR: dict[str, tuple[str, ...]] = {
    **{field.name: ("dense",) for field in dataclasses.fields(DenseOptions)},
}
"""The kinds that an option acts for in training, where it does not act for all."""


@dataclasses.dataclass
class RetrievalOptions(DenseOptions, StageOptions):
    """Our own options of `retrieval`.

    What is said of searching acts for the models of `against` too, each by its own kind.
    """

    kind: Literal["dense", "sparse", "sparse_documents", "late_interaction", "reranker"] = argument(
        "dense", "What is trained; sparse_documents: no encoder reads the queries.", group="Search"
    )
    hybrid: bool = argument(True, "Measure each model fused with BM25 by ranks, too.")
    rerank_depth: int = argument(50, "Hits of BM25 that a reranker reads.", within="[1, inf)")
    keep_tokens: int | None = argument(
        None, "Heaviest tokens of a passage in a sparse index; null: all.", within="[1, inf)"
    )
    pool_factor: int = argument(1, "Tokens of a passage that late interaction keeps as one.", within="[1, inf)")

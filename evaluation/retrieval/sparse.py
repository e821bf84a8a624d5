"""Search by learned sparse vectors: an inverted index of weights."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

from .loading import model_digest
from .searcher import (
    DEPTH,
    NOT_FOUND,
    Hits,
    best_hits,
    checked_passages,
    require_index,
    require_model,
    search_in_parts,
    weight_bytes,
)

logger = logging.getLogger(__name__)

# What a file of SciPy's holds besides the weights: which model they are of, see `model_digest`.
MODEL_NAME = "model"


class SparseSearcher:
    """Search by the weights of terms, every passage that shares one with the query compared.

    Args:
        model: ranks by the inner product; each side gets its own prompt and route
        keep: heaviest terms of a passage that are kept; None = what the model keeps by itself (`max_active_dims`)

    Raises:
        ValueError: For a model of another kind or one that compares otherwise, or fewer than 1 term.
    """

    def __init__(self, model: SparseEncoder, keep: int | None = None) -> None:
        require_model(model, SparseEncoder)
        if model.similarity_fn_name != "dot":
            raise ValueError(
                f"the model compares by '{model.similarity_fn_name}', search by sparse vectors by their inner "
                "product; set its similarity_fn_name to dot"
            )
        if keep is not None and keep < 1:
            raise ValueError(f"keep={keep} leaves no term of a passage; give 1 or more, or None for all")
        self.model, self.keep = model, keep
        self._index: sparse.csr_array | None = None

    @property
    def kind(self) -> str:
        """`sparse_documents` where no encoder reads the query, else `sparse`."""
        return "sparse_documents" if reads_queries_by_table(self.model) else "sparse"

    @property
    def index(self) -> sparse.csr_array:
        """The weights float32 `[V, P]`: for each term the passages that have it."""
        return require_index(self._index)

    @property
    def index_bytes(self) -> int:
        """Bytes of the weights and their places."""
        return sum(part.nbytes for part in (self.index.data, self.index.indices, self.index.indptr))

    @property
    def model_bytes(self) -> int:
        """Bytes of the weights of both sides."""
        return weight_bytes(self.model)

    def build(self, passages: Sequence[str]) -> None:
        """Encode the passages and turn them into an inverted index, see `Searcher`."""
        encode: Any = self.model.encode_document
        options = {"save_to_cpu": True, "max_active_dims": self.keep, "show_progress_bar": False}
        found = encode(checked_passages(passages), **options)
        self._index = rows_of(found).T.tocsr()

    def read_index(self, path: str | Path) -> None:
        """Take the index that `engines.export_index` wrote for SciPy in the place of `build`.

        Raises:
            FileNotFoundError: If there is no file.
            ValueError: If it holds something else, was written by another model (other weights, prompts or length of
                texts), or has other terms than the model.
        """
        try:
            found = sparse.csr_array(sparse.load_npz(path))
            with np.load(path) as kept:
                written_by = str(kept[MODEL_NAME]) if MODEL_NAME in kept.files else ""
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} holds no index that export_index wrote for scipy; build it anew") from error
        terms = self.model.get_embedding_dimension()
        given = len(found.indptr) - 1
        if given != terms:
            raise ValueError(f"{path} has weights of {given} terms, the model of {terms}; build it anew")
        if not written_by:
            logger.warning("%s does not say which model wrote it; weights of another one find other passages", path)
        elif written_by != (own := model_digest(self.model)):
            raise ValueError(f"{path} was written by the model {written_by}, and this one is {own}; build it anew")
        self._index = found

    def search(self, queries: Sequence[str], depth: int = DEPTH) -> Hits:
        """Return the best passages, see `Searcher`; one without a term of the query counts as not found."""
        return search_in_parts(self._search, queries, depth)

    def _search(self, queries: list[str], depth: int) -> Hits:
        found = self.model.encode_query(queries, save_to_cpu=True, show_progress_bar=False)
        products: Any = rows_of(found) @ self.index
        numbers, scores = best_hits(products.toarray(), depth)
        return numbers, np.where(scores > 0, scores, NOT_FOUND)


def rows_of(vectors: Any) -> sparse.csr_array:
    """Return sparse vectors of PyTorch as float32 `[N, V]` of SciPy."""
    found = vectors.coalesce().float()
    rows, columns = (one.numpy().astype(np.int32) for one in found.indices())
    made = sparse.coo_array((found.values().numpy(), (rows, columns)), shape=tuple(found.shape)).tocsr()
    made.eliminate_zeros()
    return made


def reads_queries_by_table(model: SparseEncoder) -> bool:
    """Return whether the query's side is a table of weights by token, so that no encoder runs for a query."""
    route: Any = getattr(model[0], "sub_modules", {})
    return "query" in route and any(isinstance(module, SparseStaticEmbedding) for module in route["query"])

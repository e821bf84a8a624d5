"""Search by late interaction: the best match of every token of the query, added up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

from .searcher import (
    DEPTH,
    Hits,
    best_hits,
    checked_passages,
    require_index,
    require_model,
    search_in_parts,
    weight_bytes,
)

# Numbers that are compared at once: passages are padded to the longest of a part. Source: our default.
CHUNK_ELEMENTS = 4_000_000


class LateInteractionSearcher:
    """Search by the vectors of tokens, every passage compared, scored as the model scores.

    Args:
        model: the encoder; each side gets its own prompt and length
        pool_factor: tokens of a passage that become one vector, by clusters of the alike; 1 = none

    Raises:
        ValueError: For a model of another kind, or a factor below 1.
    """

    kind = "late_interaction"

    def __init__(self, model: MultiVectorEncoder, pool_factor: int = 1) -> None:
        require_model(model, MultiVectorEncoder)
        if pool_factor < 1:
            raise ValueError(f"pool_factor={pool_factor} must be 1 or more: tokens that become one vector")
        self.model = model
        self.pooling = HierarchicalTokenPooling(pool_factor) if pool_factor > 1 else None
        self.order = np.zeros(0, dtype=np.int64)
        self._vectors: list[torch.Tensor] | None = None

    @property
    def index_bytes(self) -> int:
        """Bytes of the vectors of all tokens."""
        return sum(one.nbytes for one in require_index(self._vectors))

    @property
    def model_bytes(self) -> int:
        """Bytes of the weights."""
        return weight_bytes(self.model)

    def build(self, passages: Sequence[str]) -> None:
        """Encode the passages, see `Searcher`."""
        texts = checked_passages(passages)
        found = self.model.encode_document(texts, token_pooling=self.pooling, show_progress_bar=False)
        # Passages of similar length lie together, so that little of what is compared is padding.
        self.order = np.argsort([len(one) for one in found], kind="stable")
        self._vectors = [found[number] for number in self.order]

    def search(self, queries: Sequence[str], depth: int = DEPTH) -> Hits:
        """Return the best passages, see `Searcher`."""
        return search_in_parts(self._search, queries, depth)

    def _search(self, queries: list[str], depth: int) -> Hits:
        vectors = require_index(self._vectors)
        found = self.model.encode_query(queries, show_progress_bar=False)
        scores = np.empty((len(queries), len(vectors)), dtype=np.float32)
        scores[:, self.order] = self.model.similarity(found, vectors, chunk_elements=CHUNK_ELEMENTS).cpu().numpy()
        return best_hits(scores, depth)

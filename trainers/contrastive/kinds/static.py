"""Static embeddings that were distilled from an encoder: a table of tokens, no model at all when texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from ....evaluation.sentences.static_embeddings import distilled_encoder, is_static
from ..models import load_encoder, pooling_of, refuse_other
from .dense import DenseKind


class StaticKind(DenseKind):
    """A `SentenceTransformer` of one table, which stages train as they train an encoder."""

    def load(self, folder: str | Path, arguments: Any) -> SentenceTransformer:
        """Return the table of a folder, or one distilled from its encoder, see `distilled_encoder`.

        Raises:
            ValueError: See `refuse_other`.
        """
        found = load_encoder(folder, arguments)
        if is_static(found):  # a table may be shorter than was asked for, as the encoder was
            size: Any = found.get_embedding_dimension()
            refuse_other(folder, arguments, {"static_size": max(size, arguments.static_size)})
            return found
        refuse_other(folder, arguments, pooling_of(found))
        return distilled_encoder(found, arguments.static_size)

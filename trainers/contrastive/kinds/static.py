"""Static embeddings that were distilled from an encoder: a table of tokens, no model at all when texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from ....evaluation.sentences.static_embeddings import distilled_encoder, is_static
from ..models import load_encoder
from .dense import DenseKind


class StaticKind(DenseKind):
    """A `SentenceTransformer` of one table, which stages train as they train an encoder."""

    def load(self, folder: str | Path, arguments: Any) -> SentenceTransformer:
        """Return the table of a folder, or one distilled from its encoder, see `distilled_encoder`."""
        found = load_encoder(folder, arguments)
        return found if is_static(found) else distilled_encoder(found, arguments.static_size)

"""Dense encoders: one vector per text, compared by cosine."""

from __future__ import annotations

from pathlib import Path

from sentence_transformers import SentenceTransformer

from ..arguments import DenseArguments
from ..models import load_encoder, pooling_of, refuse_other
from ..trainer import ContrastiveTrainer
from .kind import ModelKind


class DenseKind(ModelKind):
    """A `SentenceTransformer`: the encoder, pooling, and vectors of length 1 where asked for."""

    trainer = ContrastiveTrainer

    def load(self, folder: str | Path, arguments: DenseArguments) -> SentenceTransformer:
        """Return the encoder of a folder, or a checkpoint with the pooling of the arguments, see `load_encoder`.

        Raises:
            ValueError: See `refuse_other`.
        """
        found = load_encoder(folder, arguments)
        refuse_other(folder, arguments, pooling_of(found))
        return found

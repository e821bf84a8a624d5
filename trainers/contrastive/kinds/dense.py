"""Dense encoders: one vector per text, compared by cosine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sentence_transformers import SentenceTransformer

from ..arguments import DenseArguments
from ..datasets import NamedRows
from ..models import load_encoder, pooling_of, refuse_other
from ..trainer import ContrastiveTrainer, refuse_longer_sizes
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

    def begin(
        self, folder: str | Path, arguments: DenseArguments, training: Sequence[NamedRows]
    ) -> SentenceTransformer:
        """Return the encoder that the first stage begins with, if its vectors can be cut to the sizes of the arguments.

        Raises:
            ValueError: See `load` and `refuse_longer_sizes`; here, so that nothing is scored before.
        """
        found = self.load(folder, arguments)
        refuse_longer_sizes(found, arguments.matryoshka_sizes)
        return found

"""Keeps what tokens share out of their embeddings: the decoder starts at frequencies, the rows keep a mean of zero.

Early in pre-training nearly all tokens are rarer than predicted, and every row of a tied decoder is pushed the same
way; an optimizer that scales each step by its moments makes full steps of it. The rows then share one long vector. A
softmax cannot see it, but the encoder reads little else. Source: ours, after two known remedies: a bias that starts at
the log frequencies, and output embeddings centered over the vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from ...modeling import ChineseModernBertConfig
from ..after_step import AfterStep
from .optimizers.build import vocabulary_matrices

ZERO, FREQUENCIES = "zero", "frequencies"


class EmbeddingMeanCallback(AfterStep):
    """Takes the mean over the vocabulary out of embeddings and decoder after each step of the optimizer.

    The predictions of a model with tied embeddings stay what they are but for what the encoder reads; of a masked
    language model's own softmax the mean is never a part.
    """

    def follow(self, model: nn.Module) -> None:
        """Project the matrices with a row for each token; this rounds."""
        center_vocabulary(model)


@torch.no_grad()
def center_vocabulary(model: nn.Module) -> None:
    """Give embeddings and decoder rows whose mean over the vocabulary is zero, in place; sharded ones stay sharded."""
    for matrix in vocabulary_matrices(model):
        matrix.sub_(matrix.float().mean(dim=0, keepdim=True))


def check_decoder_start(start: str, config: ChineseModernBertConfig, is_new: bool) -> None:
    """Refuse a start of the decoder's bias that could not act.

    Raises:
        ValueError: For an unknown one, or frequencies where there is no bias or the weights come from a checkpoint.
    """
    if start not in (ZERO, FREQUENCIES):
        raise ValueError(f"decoder_starts_at='{start}' is not known; choose {ZERO} or {FREQUENCIES}")
    if start == FREQUENCIES and not (is_new and config.decoder_bias):
        reason = "the configuration has decoder_bias: false" if is_new else "a checkpoint brings its own"
        raise ValueError(f"decoder_starts_at: {FREQUENCIES} sets the bias of a new decoder, but {reason}")


@torch.no_grad()
def start_decoder_bias(model: PreTrainedModel, counts: np.ndarray) -> None:
    """Set the decoder's bias to the log frequencies of the tokens, less their mean, so that training starts there.

    Args:
        model: masked language model whose decoder has a bias
        counts: int64 `[vocabulary]`, how often each id occurs; one that never does counts as seen once
    """
    decoder: Any = model.get_output_embeddings()
    seen = np.ones(len(decoder.bias))
    seen[: len(counts)] = np.maximum(counts, 1)
    logs = torch.from_numpy(np.log(seen)).float()
    decoder.bias.copy_(logs - logs.mean())

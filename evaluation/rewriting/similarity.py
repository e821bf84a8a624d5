"""How alike a changed text must stay to the one that it came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ...modeling.heads_chinese_modernbert import pool
from ..sentences.similarity import pair_cosines

Encode = Callable[[list[str]], np.ndarray]
# Texts of one forward. Source: our default.
TEXTS_PER_BATCH = 32


class SimilarityFloor:
    """Keeps a changed text where its cosine with the original is high enough.

    Args:
        encode: from texts to vectors `[texts, width]`
        least: smallest cosine that is kept; at -1 or less nothing is encoded
    """

    def __init__(self, encode: Encode, least: float) -> None:
        self._encode, self.least = encode, least

    def cosines(self, originals: Sequence[str], changed: Sequence[str]) -> np.ndarray:
        """Return the cosine of each changed text with its original, float64 `[texts]`."""
        if not originals:
            return np.zeros(0)
        places = {text: place for place, text in enumerate(dict.fromkeys((*originals, *changed)))}
        vectors = self._encode(list(places))
        first, second = ([places[text] for text in texts] for texts in (originals, changed))
        return pair_cosines(vectors[first], vectors[second])

    def keeps(self, originals: Sequence[str], changed: Sequence[str]) -> np.ndarray:
        """Return which changed texts are kept, bool `[texts]`."""
        if self.least <= -1:
            return np.ones(len(originals), dtype=np.bool_)
        return self.cosines(originals, changed) >= self.least


def mean_encoder(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Encode:
    """Return the encoder of a masked language model's own mean over tokens."""

    @torch.inference_mode()
    def encode(texts: list[str]) -> np.ndarray:
        rows = []
        for begin in range(0, len(texts), TEXTS_PER_BATCH):
            longest = min(int(model.config.max_position_embeddings), int(tokenizer.model_max_length))
            given: Any = tokenizer(
                texts[begin : begin + TEXTS_PER_BATCH],
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            )
            mask = given["attention_mask"].to(model.device)
            base: Any = model.base_model
            hidden = base(input_ids=given["input_ids"].to(model.device), attention_mask=mask).last_hidden_state
            rows.append(pool(hidden.float(), "mean", mask.bool()).cpu().numpy())
        return np.concatenate(rows)

    return encode


def folder_encoder(folder: str | Path, trust_remote_code: bool) -> Encode:
    """Return the encoder of a folder of sentence-transformers."""
    from ..retrieval.loading import load_search_model

    model: Any = load_search_model(folder, trust_remote_code)
    return lambda texts: np.asarray(model.encode(texts, show_progress_bar=False))

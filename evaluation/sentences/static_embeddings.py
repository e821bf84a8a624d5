"""Static vectors of tokens, which read no context: counted in a corpus as a baseline, or distilled from an encoder.

Counts of neighboring tokens become positive pointwise mutual information and a truncated singular value
decomposition; the sentence vector is the mean of its tokens' vectors. Source: Levy and Goldberg 2014 (shifted PPMI with
shift 1, singular values to the power 1/2).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sklearn.decomposition import PCA, TruncatedSVD
from transformers import PreTrainedTokenizerFast

WINDOW = 5
# Smoothing of the context distribution. Source: Levy, Goldberg and Dagan 2015.
CONTEXT_POWER = 0.75
BATCH_TOKENS = 1_000_000
TOKENS_AT_ONCE = 256
# Source: Arora, Liang and Ma 2017 name 1e-4 to 1e-3; model2vec takes 1e-4.
SIF_COEFFICIENT = 1e-4


def count_neighbors(documents: Iterable[np.ndarray], vocab_size: int, window: int = WINDOW) -> csr_array:
    """Return how often two tokens stand within `window` of each other, int64 `[V, V]`, symmetric.

    Args:
        documents: token ids of each document
        vocab_size: V
        window: distance in tokens, counted alike at every distance
    """
    counts = csr_array((vocab_size, vocab_size), dtype=np.int64)
    batch: list[np.ndarray] = []
    size = 0
    for document in documents:
        # A gap longer than the window keeps documents apart in one array.
        batch += [np.asarray(document, dtype=np.int64), np.full(window, -1)]
        size += len(document)
        if size >= BATCH_TOKENS:
            counts, batch, size = counts + _count(np.concatenate(batch), vocab_size, window), [], 0
    return counts + _count(np.concatenate(batch), vocab_size, window) if batch else counts


def _count(ids: np.ndarray, vocab_size: int, window: int) -> csr_array:
    total = csr_array((vocab_size, vocab_size), dtype=np.int64)
    for distance in range(1, window + 1):
        left, right = ids[:-distance], ids[distance:]
        real = (left >= 0) & (right >= 0)
        ones = np.ones(int(real.sum()), dtype=np.int64)
        total = total + coo_array((ones, (left[real], right[real])), shape=total.shape).tocsr()
    return total + total.T


def positive_information(counts: csr_array) -> csr_array:
    """Return max(0, log(p(a, b) / (p(a) p(b)^0.75 smoothed))) of neighbor counts, float32 `[V, V]`."""
    pairs = counts.tocoo()
    sums = np.asarray(counts.sum(axis=1)).ravel().astype(np.float64)
    context = sums**CONTEXT_POWER
    context /= max(context.sum(), 1.0)
    joint = pairs.data / max(pairs.data.sum(), 1)
    marginal = (sums / max(sums.sum(), 1.0))[pairs.row] * context[pairs.col]
    values = np.log(joint / marginal).clip(min=0).astype(np.float32)
    return coo_array((values, (pairs.row, pairs.col)), shape=counts.shape).tocsr()


def static_encoder(
    tokenizer: PreTrainedTokenizerFast, documents: Iterable[np.ndarray], dimensions: int = 256, seed: int = 0
) -> SentenceTransformer:
    """Return a sentence encoder whose vector is the mean of static token vectors.

    Args:
        tokenizer: cuts texts; its special tokens have zero vectors
        documents: token ids of the corpus
        dimensions: length of a vector. Our default: 256.
        seed: seed of the decomposition

    Raises:
        ValueError: If the corpus has too few different tokens.
    """
    information = positive_information(count_neighbors(documents, len(tokenizer)))
    if information.nnz <= dimensions:
        raise ValueError(
            f"{information.nnz} pairs of neighbors are too few for {dimensions} dimensions; give more text, or leave "
            "static embeddings out (baselines: false)"
        )
    decomposition = TruncatedSVD(dimensions, random_state=seed)
    left = decomposition.fit_transform(information)
    return encoder_of_table(tokenizer, left / np.sqrt(decomposition.singular_values_).clip(min=1e-12))


def distilled_encoder(model: SentenceTransformer, dimensions: int = 256) -> SentenceTransformer:
    """Return a sentence encoder of static vectors that were read off another: each token's own text, encoded alone.

    The vectors are turned to their principal axes, and a token weighs `a / (a + p)`, so that what is frequent says
    little. Source: the description of model2vec (github.com/MinishLab/model2vec); the weights are Arora, Liang and Ma
    2017, with a share p that falls with a token's rank (Zipf), since the vocabulary of BPE comes by frequency.
    Prompts are those of the encoder.

    Args:
        model: encoder around a Transformers model
        dimensions: length of a vector, at most the encoder's. Source of 256: model2vec.
    """
    tokenizer: Any = model.tokenizer
    special = set(tokenizer.all_special_ids)
    ids = [number for number in range(len(tokenizer)) if number not in special]
    texts = [tokenizer.decode([number]) for number in ids]
    found = np.asarray(model.encode(texts, batch_size=TOKENS_AT_ONCE, show_progress_bar=False), dtype=np.float32)
    axes = PCA(min(dimensions, *found.shape), svd_solver="full").fit_transform(found)
    shares = 1 / np.arange(2, len(ids) + 2)
    weights = SIF_COEFFICIENT / (SIF_COEFFICIENT + shares / shares.sum())
    table = np.zeros((len(tokenizer), axes.shape[1]), dtype=np.float32)
    table[ids] = axes * weights[:, None]
    made = encoder_of_table(tokenizer, table)
    made.prompts, made.default_prompt_name = dict(model.prompts), model.default_prompt_name
    return made


def encoder_of_table(tokenizer: PreTrainedTokenizerFast, table: np.ndarray) -> SentenceTransformer:
    """Return an encoder whose vector is the mean of rows of a table, float `[V, D]`; special tokens add zeros.

    It reads texts whole: what a tokenizer was last called with, it would go on to cut and pad by.
    """
    table[list(tokenizer.all_special_ids)] = 0.0
    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    backend.no_truncation()
    backend.no_padding()
    module = StaticEmbedding(backend, embedding_weights=table.astype(np.float32))
    return SentenceTransformer(modules=[module], device="cpu")


def is_static(model: SentenceTransformer) -> bool:
    """Return whether a model is a table of static vectors."""
    return isinstance(model[0], StaticEmbedding)

"""Weight tables counted from tokenized documents: frequency, idf, PMI mask rates, domain similarity.

Every builder takes an iterable of integer arrays, the token ids of one document each, and returns float32 `[V]`.
"""

from collections.abc import Iterable, Sequence

import numpy as np

Documents = Iterable[np.ndarray]


def token_counts(documents: Documents, vocabulary_size: int) -> np.ndarray:
    """Count every id; int64 `[V]`."""
    counts = np.zeros(vocabulary_size, dtype=np.int64)
    for ids in documents:
        counts += np.bincount(ids, minlength=vocabulary_size)
    return counts


def document_counts(documents: Documents, vocabulary_size: int) -> tuple[np.ndarray, int]:
    """Return int64 `[V]`, in how many documents each id occurs, and the number of documents."""
    counts, total = np.zeros(vocabulary_size, dtype=np.int64), 0
    for ids in documents:
        counts[np.unique(ids)] += 1
        total += 1
    return counts, total


def frequency_table(documents: Documents, vocabulary_size: int, exponent: float = 0.5, floor: int = 10) -> np.ndarray:
    """Weigh rare tokens more: `max(count, floor) ** -exponent`, scaled to a mean of 1 over running text.

    Source: Weighted Sampling; exponent and floor are recalled values of the paper, the scaling is ours.
    """
    counts = token_counts(documents, vocabulary_size)
    weights = np.maximum(counts, floor).astype(np.float64) ** -exponent
    return _unit_mean(weights, counts)


def idf_table(documents: Documents, vocabulary_size: int) -> np.ndarray:
    """Inverse document frequency `log((1 + n) / (1 + df))`, >= 0.

    Source: ROM weighs terms by importance; its normalization is not public, idf is our default.
    """
    counts, total = document_counts(documents, vocabulary_size)
    return np.log((1 + total) / (1 + counts)).astype(np.float32)


def rank_table(documents: Documents, vocabulary_size: int) -> np.ndarray:
    """Rarity rank in 0 to 1: the commonest token gets 1 / V, the rarest 1.

    Source: frequency-informed masked diffusion (released code): `(rank + 1) / V`.
    """
    order = np.argsort(-token_counts(documents, vocabulary_size), kind="stable")
    table = np.empty(vocabulary_size, dtype=np.float32)
    table[order] = np.arange(1, vocabulary_size + 1) / vocabulary_size
    return table


def pmi_rate_table(
    documents: Documents,
    vocabulary_size: int,
    rate: float = 0.15,
    draws: int = 30,
    window: int = 128,
    seed: int = 0,
    ignored_ids: Sequence[int] = (),
) -> np.ndarray:
    """Mask rate of each token, so that masked tokens carry much information about visible ones.

    For each stretch of text `draws` random masks are tried and the one with the largest sum of PMI between masked and
    visible tokens is kept; a token's rate is the share of its occurrences that the kept masks
    hide. PMI is counted over stretches. Tokens that never occur get the mean rate.
    Source: InforMask (the released code trains from such a table; 30 draws are recalled, the counting is ours).

    Args:
        documents: token ids of one document each
        vocabulary_size: V
        rate: share of masked tokens; the corpus mean of the result
        draws: masks tried for each stretch
        window: tokens of a stretch
        seed: seed of the draws
        ignored_ids: ids with rate 0 (special tokens)
    """
    stretches = [ids[at : at + window] for ids in documents for at in range(0, len(ids), window)]
    present, total = document_counts(stretches, vocabulary_size)
    pairs = _pair_counts(stretches)
    generator = np.random.default_rng(seed)
    kept, seen = np.zeros(vocabulary_size), np.zeros(vocabulary_size)
    for ids in stretches:
        score = _pmi_matrix(ids, pairs, present, total)
        masks = generator.random((draws, len(ids))).argsort(axis=1) < max(1, round(rate * len(ids)))
        gain = np.einsum("di,ij,dj->d", masks, score, ~masks, optimize=True)
        kept += np.bincount(ids[masks[gain.argmax()]], minlength=vocabulary_size)
        seen += np.bincount(ids, minlength=vocabulary_size)
    table = np.divide(kept, seen, out=np.full(vocabulary_size, rate), where=seen > 0)
    table *= rate * seen.sum() / max(float((table * seen).sum()), 1e-12)
    table[list(ignored_ids)] = 0.0
    return np.clip(table, 0, 1).astype(np.float32)


def domain_seeds(domain: Documents, general: Documents, vocabulary_size: int, count: int = 20) -> np.ndarray:
    """Return the `count` ids that mark a domain: highest frequency in it times idf in general text; int64."""
    frequency = token_counts(domain, vocabulary_size)
    return np.argsort(-(frequency * idf_table(general, vocabulary_size)), kind="stable")[:count]


def difference_table(embeddings: np.ndarray, seeds: np.ndarray, blend: float = 1.0) -> np.ndarray:
    """Weigh tokens by the rank of their largest cosine similarity to a seed token.

    Source: Difference-Masking (released code: rank weights, optional blend with uniform). The rank is scaled to a mean
    of 1, ours.

    Args:
        embeddings: float `[V, D]`, for instance the input embeddings of the model to be adapted
        seeds: integer ids, see `domain_seeds`
        blend: 0 = uniform weights, 1 = rank weights
    """
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    closeness = (unit @ unit[seeds].T).max(axis=1)
    rank = np.empty(len(unit))
    rank[np.argsort(closeness, kind="stable")] = np.arange(1, len(unit) + 1)
    return (1 - blend + blend * rank / rank.mean()).astype(np.float32)


def _pair_counts(stretches: list[np.ndarray]) -> dict[int, int]:
    """Count in how many stretches two tokens occur together; key = smaller id * 2^32 + larger id."""
    counts: dict[int, int] = {}
    for ids in stretches:
        unique = np.unique(ids).astype(np.int64)
        first, second = np.triu_indices(unique.size, k=1)
        for key in ((unique[first] << 32) | unique[second]).tolist():
            counts[key] = counts.get(key, 0) + 1
    return counts


def _pmi_matrix(ids: np.ndarray, pairs: dict[int, int], present: np.ndarray, total: int) -> np.ndarray:
    """Return float64 `[n, n]` of pointwise mutual information; 0 for a token with itself."""
    wide = ids.astype(np.int64)
    low, high = np.minimum.outer(wide, wide), np.maximum.outer(wide, wide)
    together = np.array([pairs.get(key, 0) for key in ((low << 32) | high).ravel().tolist()], dtype=float)
    expected = np.outer(present[ids], present[ids]) / total
    ratio = together.reshape(len(ids), -1) / expected
    return np.where(ratio > 0, np.log(np.maximum(ratio, 1e-12)), 0.0)


def _unit_mean(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    total = counts.sum()
    mean = (weights * counts).sum() / total if total else weights.mean()
    return (weights / mean).astype(np.float32)

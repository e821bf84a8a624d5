"""Neighbour counts against plain loops, information against its formula, and a mean of static embeddings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from chinese_modernbert.evaluation.sentences import static_embeddings as static_vectors
from chinese_modernbert.evaluation.sentences.static_embeddings import (
    count_neighbors,
    distilled_encoder,
    positive_information,
    static_encoder,
)
from reference.tiny_checkpoint import write_tiny_checkpoint


def documents(seed: int = 0, n: int = 40) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(0, 12, random.integers(1, 9)) for _ in range(n)]


@pytest.mark.parametrize("batch_tokens", [1, 20, 10**6])
def test_neighbors_are_counted_within_the_window_and_never_across_documents(
    monkeypatch: pytest.MonkeyPatch, batch_tokens: int
) -> None:
    monkeypatch.setattr(static_vectors, "BATCH_TOKENS", batch_tokens)
    expected = np.zeros((12, 12), dtype=np.int64)
    for ids in documents():
        for i in range(len(ids)):
            for j in range(len(ids)):
                expected[ids[i], ids[j]] += 0 < abs(i - j) <= 3
    assert np.array_equal(count_neighbors(documents(), 12, window=3).toarray(), expected)


def test_information_is_that_of_the_formula() -> None:
    counts = count_neighbors(documents(), 12)
    found, dense = positive_information(counts).toarray(), counts.toarray().astype(float)
    sums = dense.sum(axis=1)
    context = sums**0.75 / (sums**0.75).sum()
    for a in range(12):
        for b in range(12):
            if dense[a, b]:
                value = np.log(dense[a, b] / dense.sum() / (sums[a] / sums.sum() * context[b]))
                assert found[a, b] == pytest.approx(max(0, value), abs=1e-5)


def test_a_sentence_is_the_mean_of_its_tokens() -> None:
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, **{f"w{i}": i for i in range(1, 12)}}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    model = static_encoder(tokenizer, documents(), dimensions=4)
    one, two, both = model.encode(["w3", "w5", "w3 w5"])
    assert both == pytest.approx((one + two) / 2, abs=1e-6) and np.abs(one).sum() > 0
    with pytest.raises(ValueError, match="too few"):
        static_encoder(tokenizer, [np.array([1, 2])], dimensions=4)


def test_a_distilled_table_has_the_principal_axes_of_the_encoder_weighted_by_rank(tmp_path: Path) -> None:
    """Axes by a singular value decomposition, weights by the formula; the sign of an axis is free."""
    model = SentenceTransformer(modules=[Transformer(str(write_tiny_checkpoint(tmp_path))), Pooling(32, "mean")])
    tokenizer: Any = model.tokenizer
    table = distilled_encoder(model, 6)[0].embedding.weight.detach().numpy()  # pyright: ignore[reportAttributeAccessIssue]
    special = tokenizer.all_special_ids
    assert not table[special].any()
    ids = [number for number in range(len(tokenizer)) if number not in special]
    vectors = model.encode([tokenizer.decode([number]) for number in ids])
    left, values, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    shares = np.array([1 / (rank + 2) for rank in range(len(ids))])
    weights = 1e-4 / (1e-4 + shares / shares.sum())
    expected = (left * values)[:, :6] * weights[:, None]
    assert np.abs(table[ids]) == pytest.approx(np.abs(expected), abs=1e-5)
    assert np.abs(expected).max() > 1e-3

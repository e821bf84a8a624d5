"""What tokens share stays out of their embeddings: frequencies in the decoder's bias, rows centered after each step."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from chinese_modernbert import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.trainers.pretraining.vocabulary import (
    EmbeddingMeanCallback,
    center_vocabulary,
    check_decoder_start,
    start_decoder_bias,
)

COUNTS = np.array([0, 5, 1, 0, 90, 4], dtype=np.int64)


def small_model(**changes: Any) -> ChineseModernBertForMaskedLM:
    torch.manual_seed(0)
    config = ChineseModernBertConfig.preset("tiny", vocab_size=64, num_hidden_layers=1, **changes)
    return ChineseModernBertForMaskedLM(config).eval()


def common_part(weight: torch.Tensor) -> float:
    """Return the length of the rows' mean as a share of the rows' mean length."""
    return float(weight.detach().mean(dim=0).norm() / weight.detach().norm(dim=1).mean())


@pytest.mark.parametrize("tied", [True, False])
def test_centering_leaves_the_decoders_predictions_of_a_state_alone(tied: bool) -> None:
    model = small_model(tie_word_embeddings=tied)
    with torch.no_grad():
        model.decoder.weight += 3.0 * torch.randn(128)
        model.model.embeddings.tok_embeddings.weight += 1.0
    states = torch.randn(5, 128)
    before = model.decoder(states).log_softmax(-1)
    assert common_part(model.decoder.weight) > 0.5
    center_vocabulary(model)
    for matrix in (model.decoder.weight, model.model.embeddings.tok_embeddings.weight):
        assert common_part(matrix) < 1e-5
    torch.testing.assert_close(model.decoder(states).log_softmax(-1), before, atol=1e-4, rtol=1e-4)


def test_a_residual_stream_of_mean_zero_keeps_it() -> None:
    model = small_model()
    center_vocabulary(model)
    assert model.residual_mean() < 1e-5


def test_rare_tokens_share_a_vector_without_the_callback_and_none_with_it() -> None:
    """The fault itself, in a few steps of Adam on predictions of a few frequent tokens."""
    found = {}
    for centered in (False, True):
        model = small_model()
        optimizer, callback = torch.optim.AdamW(model.parameters(), 3e-3), EmbeddingMeanCallback()
        generator = torch.Generator().manual_seed(1)
        for _ in range(30):
            ids = torch.randint(0, 8, (4, 16), generator=generator)
            model(input_ids=ids, labels=ids.roll(3, 1)).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if centered:
                callback.on_optimizer_step(*[SimpleNamespace()] * 3, model=model)  # pyright: ignore[reportArgumentType]
        found[centered] = common_part(model.decoder.weight)
    assert found[False] > 0.5
    assert found[True] < 1e-5


def test_a_step_that_was_dropped_changes_nothing() -> None:
    model, callback = small_model(), EmbeddingMeanCallback()
    with torch.no_grad():
        model.decoder.weight += 1.0
    before, callback.skips_next = model.decoder.weight.clone(), True
    nothing: Any = SimpleNamespace()
    callback.on_optimizer_step(nothing, nothing, nothing, model=model)
    assert torch.equal(model.decoder.weight, before)
    callback.on_optimizer_step(nothing, nothing, nothing, model=model)
    assert not torch.equal(model.decoder.weight, before)


def test_a_decoder_that_starts_at_frequencies_predicts_them() -> None:
    model = small_model()
    start_decoder_bias(model, COUNTS)
    with torch.no_grad():
        nn.init.zeros_(model.decoder.weight)
        probabilities = model.decoder(torch.randn(128)).softmax(-1)
    expected = np.ones(64)
    expected[: len(COUNTS)] = np.maximum(COUNTS, 1)
    np.testing.assert_allclose(probabilities.numpy(), expected / expected.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("start", "changes", "is_new", "said"),
    [
        ("log", {}, True, "decoder_starts_at='log' is not known; choose zero or frequencies"),
        ("frequencies", {"decoder_bias": False}, True, "the configuration has decoder_bias: false"),
        ("frequencies", {}, False, "a checkpoint brings its own"),
    ],
)
def test_a_start_that_could_not_act_is_refused(start: str, changes: dict, is_new: bool, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_decoder_start(start, ChineseModernBertConfig(**changes), is_new)

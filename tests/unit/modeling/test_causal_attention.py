"""Causal layouts: every kernel against torch's sdpa under a dense mask, and each token against its prefix alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM, ChineseModernBertModel
from chinese_modernbert.modeling import bands_chinese_modernbert as bands
from chinese_modernbert.modeling import buckets_chinese_modernbert as buckets
from chinese_modernbert.modeling import cpu_kernels_chinese_modernbert as cpu
from chinese_modernbert.modeling import kernels_chinese_modernbert as kernels
from chinese_modernbert.modeling.layout_chinese_modernbert import TokenLayout, build_layout
from reference.gradients import assert_same_with_gradients

MakeConfig = Callable[..., ChineseModernBertConfig]
LENGTHS = [(5,), (64, 65, 66), (129, 129, 129), (800, 3, 20), (1, 1, 1), (32, 64, 40, 33, 20), (1030, 40)]


def states(tokens: int, dtype: torch.dtype = torch.float64, grad: bool = False) -> list[torch.Tensor]:
    torch.manual_seed(tokens)
    return [torch.randn(1, 2, tokens, 8, dtype=dtype, requires_grad=grad) for _ in range(3)]


def layout_of(lengths: tuple[int, ...], flat: bool) -> TokenLayout:
    ids = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).unsqueeze(0)
    return build_layout((1, sum(lengths)), torch.device("cpu"), document_ids=ids, flat=flat, is_causal=True)


def oracle(query: Any, key: Any, value: Any, lengths: tuple[int, ...], window: int | None) -> torch.Tensor:
    """Attend by torch under a boolean mask that is filled query by query; returns `(1, t, h, d)`."""
    seen = torch.zeros(sum(lengths), sum(lengths), dtype=torch.bool)
    first = 0
    for length in lengths:
        for place in range(first, first + length):
            begin = first if window is None else max(first, place - window)
            seen[place, begin : place + 1] = True
        first += length
    return scaled_dot_product_attention(query, key, value, attn_mask=seen).transpose(1, 2)


def eager(*given: Any) -> torch.Tensor:
    return kernels.eager_attention(*given, 0.0)[0]


def sdpa(*given: Any) -> torch.Tensor:
    return kernels.sdpa_attention(*given, 0.0)


def bucketed(*given: Any) -> torch.Tensor:
    return buckets.bucketed_attention(*given, 0.0)


KERNELS = {"eager": (eager, False), "dense sdpa": (sdpa, False), "sdpa": (sdpa, True), "buckets": (bucketed, True)}


@pytest.mark.parametrize("window", [None, 20, 64])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_and_their_gradients_equal_torch_under_a_dense_mask(
    monkeypatch: pytest.MonkeyPatch, kernel: str, lengths: tuple[int, ...], window: int | None
) -> None:
    if kernel == "buckets":  # the explicit form in any dtype, whatever the processor
        for module in (cpu, buckets):
            monkeypatch.setattr(module, "prefers_products", lambda _: True)
    attend, is_flat = KERNELS[kernel]
    found, expected = states(sum(lengths), grad=True), states(sum(lengths), grad=True)
    ours, theirs = attend(*found, layout_of(lengths, is_flat), window), oracle(*expected, lengths, window)
    assert_same_with_gradients(ours, theirs, found, expected)


@pytest.mark.parametrize("window", [None, 64])
def test_roads_that_are_taken_without_gradients_equal_torch_too(
    monkeypatch: pytest.MonkeyPatch, window: int | None
) -> None:
    taken, sliced, lengths = [], buckets.sliced_attention, (1100, 400)
    monkeypatch.setattr(buckets, "sliced_attention", lambda *given: taken.append(1) or sliced(*given))
    monkeypatch.setattr(buckets, "prefers_chunks", lambda *_: True)  # chunks see everything: not for these
    given = states(sum(lengths))
    torch.testing.assert_close(sdpa(*given, layout_of(lengths, True), window), oracle(*given, lengths, window))
    assert len(taken) == (0 if window is None else 2)


def test_bands_let_nothing_ahead_through_whatever_the_filler(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = states(300)
    layout = layout_of((300,), True)
    for window in (1, 7, 64, 200):
        expected = oracle(query, key, value, (300,), window).transpose(1, 2)
        torch.testing.assert_close(bands.banded_attention(query, key, value, window, is_causal=True), expected)
        torch.testing.assert_close(bands.sliced_attention(query, key, value, window, layout), expected)


@pytest.mark.parametrize("window", [None, 64])
def test_flex_attention_and_the_variable_length_kernel_are_told(
    monkeypatch: pytest.MonkeyPatch, window: int | None
) -> None:
    lengths = (130, 70)
    given = states(200, dtype=torch.float32)
    layout, expected = layout_of(lengths, True), oracle(*given, lengths, window)
    with torch.no_grad():
        found = kernels.flex_attention(torch.nn.Module(), *given, layout, window)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)

    def stand_in(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, window_size):
        """Obey the documentation: `(left, right)` are inclusive, -1 is no bound."""
        left, right = window_size
        parts = zip(*(one.split(lengths) for one in (query, key, value)), strict=True)
        results = []
        for part in parts:
            place = torch.arange(len(part[0]))
            distance = place.unsqueeze(1) - place
            seen = ((distance <= left) | (left < 0)) & ((-distance <= right) | (right < 0))
            own = (one.transpose(0, 1) for one in part)
            results.append(scaled_dot_product_attention(*own, attn_mask=seen).transpose(0, 1))
        return torch.cat(results)

    monkeypatch.setattr(kernels, "varlen_attn", stand_in)
    torch.testing.assert_close(kernels.varlen_attention(*given, layout, window), expected)


def documents_and_padding() -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and document ids of two rows: three documents and padding, and one that fills its row."""
    generator = torch.Generator().manual_seed(0)
    documents = torch.tensor([[0] * 70 + [1] * 3 + [2] * 20 + [-1] * 7, [0] * 100])
    return torch.randint(5, 200, (2, 100), generator=generator), documents


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@torch.no_grad()
def test_each_token_is_what_it_is_at_the_end_of_its_prefix_alone(tiny_config: MakeConfig, kernel: str) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertModel(tiny_config(local_attention=16, attn_implementation=kernel)).eval()
    ids, documents = documents_and_padding()
    found = model(ids, document_ids=documents, is_causal=True).last_hidden_state
    assert (model(ids, document_ids=documents).last_hidden_state - found).abs().max() > 0.1
    starts = torch.tensor([[0] * 70 + [70] * 3 + [73] * 27, [0] * 100])
    for row, place in ((0, 0), (0, 7), (0, 8), (0, 69), (0, 70), (0, 72), (0, 92), (1, 1), (1, 50), (1, 99)):
        prefix = ids[row : row + 1, starts[row, place] : place + 1]
        expected = model(prefix, is_causal=True).last_hidden_state[0, -1]
        torch.testing.assert_close(found[row, place], expected, atol=1e-5, rtol=1e-4)
        later = torch.cat((prefix, ids[:1, :9]), dim=1)  # what comes after does not matter
        torch.testing.assert_close(
            model(later, is_causal=True).last_hidden_state[0, -10], expected, atol=1e-5, rtol=1e-4
        )
    assert found[0, 93:].abs().max() == 0


def test_every_form_of_a_batch_gives_one_loss_and_its_gradients(tiny_config: MakeConfig) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(tiny_config(local_attention=16))
    ids, documents = documents_and_padding()
    labels = ids.roll(-1, 1).masked_fill(torch.arange(100) % 3 != 0, -100).masked_fill(documents < 0, -100)
    real = documents.flatten() >= 0
    place = (labels.flatten()[real] != -100).nonzero().squeeze(1)
    flat = {
        "input_ids": ids.flatten()[real].unsqueeze(0),
        "cu_seq_lens_q": torch.tensor([0, 70, 73, 93, 193], dtype=torch.int32),
        "labels": labels.flatten()[real][place],
        "target_positions": place,
    }
    gradients = []
    for kernel, batch in (
        ("eager", {"input_ids": ids, "document_ids": documents, "labels": labels}),
        ("sdpa", {"input_ids": ids, "document_ids": documents, "labels": labels}),
        ("sdpa", flat),
        ("sdpa", {**flat, "max_length_q": 100}),
    ):
        model.zero_grad()
        model.set_attn_implementation(kernel)
        loss = model(**batch, is_causal=True).loss
        loss.backward()
        gradients.append(torch.cat([loss.detach()[None], *(one.grad.flatten() for one in model.parameters())]))
    for found in gradients[1:]:
        torch.testing.assert_close(found, gradients[0], rtol=1e-4, atol=1e-5)


def test_the_direction_goes_with_a_layout_to_another_device() -> None:
    layout = layout_of((5, 3), True)
    assert layout.to("meta").is_causal
    assert not build_layout((1, 8), torch.device("cpu")).to("meta").is_causal


@pytest.mark.parametrize("mask", ["flash_attention_2", "sdpa", "eager"])
@torch.no_grad()
def test_a_kernel_that_is_not_ours_is_told_in_its_own_terms(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, mask: str
) -> None:
    theirs, told = ALL_ATTENTION_FUNCTIONS["sdpa"], []

    def stand_in(module, query, key, value, attention_mask, sliding_window=None, is_causal=None, **kwargs):
        told.append(is_causal)
        if attention_mask is None:  # as flash attention: inclusive on both sides, and causal wins over the right side
            place = torch.arange(query.shape[2])
            distance = place.unsqueeze(1) - place
            attention_mask = (distance.abs() <= (sliding_window or 10**6) - 1) & ((distance >= 0) | (not is_causal))
        return theirs(module, query, key, value, attention_mask, scaling=kwargs["scaling"])

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "stand_in", stand_in)
    known = ALL_MASK_ATTENTION_FUNCTIONS[mask]
    monkeypatch.setitem(ALL_MASK_ATTENTION_FUNCTIONS._global_mapping, "stand_in", known)
    torch.manual_seed(0)
    model = ChineseModernBertModel(tiny_config(local_attention=16)).eval()
    ids = torch.randint(5, 200, (1, 60))
    for is_causal in (False, True):
        model.set_attn_implementation("eager")
        expected = model(ids, is_causal=is_causal).last_hidden_state
        model.set_attn_implementation("stand_in")
        found = model(ids, is_causal=is_causal).last_hidden_state
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
        is_flash = mask == "flash_attention_2"
        assert set(told) == ({True} if is_causal and is_flash else {None})
        told.clear()


def test_a_runtime_with_a_direction_of_its_own_refuses(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "vllm", lambda *_, **__: None)
    model = ChineseModernBertModel(tiny_config()).eval()
    model.config._attn_implementation = "vllm"
    with pytest.raises(ValueError, match=r"^vllm cannot be told is_causal=True; use attn_implementation='sdpa'$"):
        model(torch.full((1, 4), 7), is_causal=True)

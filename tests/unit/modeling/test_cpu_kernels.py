"""Attention as products on a CPU: equal to eager attention, with gradients, and chosen only where it helps."""

import pytest
import torch

from chinese_modernbert.modeling import buckets_chinese_modernbert as buckets
from chinese_modernbert.modeling import cpu_kernels_chinese_modernbert as cpu
from chinese_modernbert.modeling import kernels_chinese_modernbert as kernels
from chinese_modernbert.modeling.layout_chinese_modernbert import TokenLayout, build_layout
from chinese_modernbert.modeling.products_chinese_modernbert import set_products
from reference.gradients import assert_same_with_gradients

LENGTHS = [(5,), (64, 65, 66), (129, 129, 129), (900, 3, 800), (1, 1, 1), (32, 64, 32), (1500, 40)]


@pytest.fixture
def explicit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the explicit form in any dtype, whatever the processor."""
    for module in (cpu, buckets):
        monkeypatch.setattr(module, "prefers_products", lambda _: True)


def states(tokens: int, dtype: torch.dtype = torch.float64, grad: bool = False) -> list[torch.Tensor]:
    torch.manual_seed(tokens)
    return [torch.randn(1, 2, tokens, 8, dtype=dtype, requires_grad=grad) for _ in range(3)]


def layouts(lengths: tuple[int, ...]) -> tuple[TokenLayout, TokenLayout]:
    """Return the flat and the dense layout of documents of these lengths."""
    ids = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).unsqueeze(0)
    shape = (1, sum(lengths))
    return tuple(build_layout(shape, torch.device("cpu"), document_ids=ids, flat=flat) for flat in (True, False))


@pytest.mark.usefixtures("explicit")
@pytest.mark.parametrize("window", [None, 20, 64])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_buckets_and_their_gradients_equal_eager(lengths: tuple[int, ...], window: int | None) -> None:
    found, expected = states(sum(lengths), grad=True), states(sum(lengths), grad=True)
    flat, dense = layouts(lengths)
    ours = buckets.bucketed_attention(*found, flat, window, 0.0)
    theirs, _ = kernels.eager_attention(*expected, dense, window, 0.0)
    assert_same_with_gradients(ours, theirs, found, expected)


@pytest.mark.usefixtures("explicit")
def test_a_bucket_too_large_for_one_call_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = (40, 50, 60, 33, 64)  # one bucket of five documents
    flat, _ = layouts(lengths)
    whole = buckets.bucketed_attention(*states(sum(lengths)), flat, 20, 0.0)
    monkeypatch.setattr(cpu, "CALL_WEIGHTS", 2 * 2 * 64 * 64)
    flat, _ = layouts(lengths)
    torch.testing.assert_close(buckets.bucketed_attention(*states(sum(lengths)), flat, 20, 0.0), whole)


@pytest.mark.usefixtures("explicit")
def test_buckets_drop_weights_at_the_given_rate() -> None:
    flat, _ = layouts((64,) * 8)
    query, key, _ = states(512)
    ones = torch.ones_like(query)  # without dropout every row of weights sums to one
    found = buckets.bucketed_attention(query, key, ones, flat, None, 0.5)
    assert found.mean().item() == pytest.approx(1.0, abs=0.05)
    assert found.std().item() > 0.05


def test_a_flat_row_in_bfloat16_takes_buckets_where_the_processor_multiplies_bfloat16(monkeypatch) -> None:
    flat, _ = layouts((40, 50))  # two lengths, one bucket
    taken = []
    monkeypatch.setattr(kernels, "bucketed_attention", lambda query, *_: taken.append(1) or query.transpose(1, 2))
    for has in (True, False):
        monkeypatch.setattr(cpu, "has_bfloat16_products", lambda has=has: has)
        kernels.sdpa_attention(*states(90, dtype=torch.bfloat16), flat, None, 0.0)
        assert bool(taken) is has
        taken.clear()
    kernels.sdpa_attention(*states(90, dtype=torch.float32), flat, None, 0.0)
    assert not taken
    monkeypatch.setattr(cpu, "has_bfloat16_products", lambda: True)
    for lengths in ((45, 45), (20, 70)):  # one call does for both; no call is saved
        kernels.sdpa_attention(*states(90, dtype=torch.bfloat16), layouts(lengths)[0], None, 0.0)
    assert not taken


@pytest.mark.usefixtures("explicit")
@pytest.mark.parametrize("window", [None, 20])
@pytest.mark.parametrize("lengths", [(500, 500), (30, 700), (18,) * 5])
def test_documents_one_by_one_equal_eager(lengths: tuple[int, ...], window: int | None, monkeypatch) -> None:
    for module in (kernels, buckets):
        monkeypatch.setattr(module, "prefers_products", lambda _: True)
    monkeypatch.setattr(cpu, "CALL_WEIGHTS", 1)
    flat, dense = layouts(lengths)
    expected, _ = kernels.eager_attention(*states(sum(lengths)), dense, window, 0.0)
    torch.testing.assert_close(kernels.sdpa_attention(*states(sum(lengths)), flat, window, 0.0), expected)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 1e-2), (torch.float32, 1e-6)])
def test_chunks_stay_near_the_exact_result(dtype: torch.dtype, bound: float) -> None:
    query, key, value = states(1300)
    exact = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    chunked = cpu.chunked_attention(*(tensor.to(dtype) for tensor in (query, key, value))).double()
    assert (chunked - exact).norm() / exact.norm() < bound


def test_chunks_are_for_long_text_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "has_bfloat16_products", lambda: True)
    monkeypatch.setattr(cpu, "takes_products", lambda states: states.dtype == torch.float32)
    for dtype, tokens in cpu.CHUNKED_FROM_TOKENS.items():
        long = torch.zeros(1, 1, tokens, 8, dtype=dtype)
        assert cpu.prefers_chunks(long, 0.0)
        assert not cpu.prefers_chunks(long, 0.1)
        assert not cpu.prefers_chunks(long[:, :, 1:], 0.0)
        assert not cpu.prefers_chunks(long.requires_grad_(), 0.0)
        with torch.no_grad():
            assert cpu.prefers_chunks(long, 0.0)


@pytest.mark.parametrize("products", ["torch", "onednn"])
def test_long_float32_text_is_the_same_by_either_library(products: str) -> None:
    set_products(products)
    try:
        flat, dense = layouts((1100, 30))
        query, key, value = states(1130, dtype=torch.float32)
        expected, _ = kernels.eager_attention(query, key, value, dense, None, 0.0)
        torch.testing.assert_close(kernels.sdpa_attention(query, key, value, flat, None, 0.0), expected)
    finally:
        set_products("auto")

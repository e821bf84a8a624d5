"""Kernels against each other and against a loop: window, documents, gradients."""

import math
from types import SimpleNamespace

import pytest
import torch

from chinese_modernbert.modeling import bands_chinese_modernbert as bands
from chinese_modernbert.modeling import buckets_chinese_modernbert as buckets
from chinese_modernbert.modeling import kernels_chinese_modernbert as kernels
from chinese_modernbert.modeling.layout_chinese_modernbert import build_layout


def states(tokens: int, rows: int = 1, dtype: torch.dtype = torch.float64, grad: bool = False) -> list[torch.Tensor]:
    torch.manual_seed(tokens)
    return [torch.randn(rows, 2, tokens, 8, dtype=dtype, requires_grad=grad) for _ in range(3)]


def slow_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sees) -> torch.Tensor:
    """Compute attention query by query, with nothing but the definition."""
    result = torch.zeros_like(query)
    for row in range(query.shape[0]):
        for head in range(query.shape[1]):
            for i in range(query.shape[2]):
                seen = [j for j in range(key.shape[2]) if sees(row, i, j)]
                scores = key[row, head, seen] @ query[row, head, i] / math.sqrt(query.shape[3])
                result[row, head, i] = torch.softmax(scores, 0) @ value[row, head, seen]
    return result


@pytest.mark.parametrize("window", [1, 7, 64])
@pytest.mark.parametrize("tokens", [1, 100, 128, 129, 300])
def test_bands_equal_the_definition(tokens: int, window: int) -> None:
    query, key, value = states(tokens)
    expected = slow_attention(query, key, value, lambda _, i, j: abs(i - j) <= window)
    torch.testing.assert_close(kernels.banded_attention(query, key, value, window), expected)
    layout = build_layout((1, tokens), torch.device("cpu"), flat=True)
    torch.testing.assert_close(bands.sliced_attention(query, key, value, window, layout), expected)


def test_slices_are_for_long_text_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(buckets, "sliced_attention", lambda *_: taken.append(1) or torch.zeros(1, 2, 400, 8))
    layout = build_layout((1, 400), torch.device("cpu"), flat=True)
    kernels.sdpa_attention(*states(400, grad=True), layout, 64, 0.0)
    kernels.sdpa_attention(*states(400), layout, 64, dropout=0.1)
    assert not taken
    kernels.sdpa_attention(*states(400), layout, 64, 0.0)
    assert taken


def test_bands_keep_documents_and_rows_apart() -> None:
    query, key, value = states(150, rows=2)
    documents = torch.stack([torch.arange(150) // 40, torch.arange(150) // 70])
    expected = slow_attention(
        query, key, value, lambda row, i, j: abs(i - j) <= 20 and documents[row, i] == documents[row, j]
    )
    torch.testing.assert_close(kernels.banded_attention(query, key, value, 20, documents), expected)


def test_gradients_of_bands_equal_those_of_eager_in_float64() -> None:
    """Length 333 has a filler tail, and gradients flow through overlapping blocks of keys."""
    banded = states(333, grad=True)
    eager = [tensor.detach().clone().requires_grad_() for tensor in banded]
    layout = build_layout((1, 333), torch.device("cpu"), flat=False)
    upstream = torch.randn(1, 333, 2, 8, dtype=torch.float64)
    kernels.banded_attention(*banded, 64).transpose(1, 2).backward(upstream)
    kernels.eager_attention(*eager, layout, 64, 0.0)[0].backward(upstream)
    for ours, theirs in zip(banded, eager, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("window", [None, 64])
@pytest.mark.parametrize("lengths", [(5,), (64, 65, 66), (129, 129, 129), (900, 3, 800), (1, 1, 1)])
def test_sdpa_on_a_flat_row_equals_eager_on_the_same_row(lengths: tuple[int, ...], window: int | None) -> None:
    tokens = sum(lengths)
    query, key, value = states(tokens)
    ids = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).unsqueeze(0)
    flat = build_layout((1, tokens), torch.device("cpu"), document_ids=ids)
    dense = build_layout((1, tokens), torch.device("cpu"), document_ids=ids, flat=False)
    expected, _ = kernels.eager_attention(query, key, value, dense, window, 0.0)
    torch.testing.assert_close(kernels.sdpa_attention(query, key, value, flat, window, 0.0), expected)
    torch.testing.assert_close(kernels.sdpa_attention(query, key, value, dense, window, 0.0), expected)


def test_flex_attention_equals_eager() -> None:
    query, key, value = states(200, dtype=torch.float32)
    ids = (torch.arange(200) // 130).unsqueeze(0)
    flat = build_layout((1, 200), torch.device("cpu"), document_ids=ids)
    dense = build_layout((1, 200), torch.device("cpu"), document_ids=ids, flat=False)
    module = torch.nn.Module()
    for window in (None, 64):
        expected, _ = kernels.eager_attention(query, key, value, dense, window, 0.0)
        with torch.no_grad():
            got = kernels.flex_attention(module, query, key, value, flat, window)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_the_default_takes_the_variable_length_kernel_where_it_runs(monkeypatch) -> None:
    """The kernel needs a GPU; what it is told is checked with a stand-in that obeys the rules of its documentation."""
    query, key, value = states(140)
    ids = (torch.arange(140) // 90).unsqueeze(0)
    flat = build_layout((1, 140), torch.device("cpu"), document_ids=ids)
    dense = build_layout((1, 140), torch.device("cpu"), document_ids=ids, flat=False)

    def stand_in(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, window_size):
        """Take `(tokens, heads, d)`; -1 in the window is no bound, otherwise both bounds are inclusive."""
        assert cu_seq_q.dtype == torch.int32 and torch.equal(cu_seq_q, cu_seq_k) and max_q == max_k == 90
        assert window_size[0] == window_size[1]
        reach = max_q if window_size[0] == -1 else window_size[0]
        result = torch.zeros_like(query)
        for first, last in zip(cu_seq_q.tolist(), cu_seq_q.tolist()[1:], strict=False):
            part = [states[first:last].transpose(0, 1).unsqueeze(0) for states in (query, key, value)]
            result[first:last] = slow_attention(*part, lambda _, i, j: abs(i - j) <= reach)[0].transpose(0, 1)
        return result

    monkeypatch.setattr(kernels, "varlen_attn", stand_in)
    monkeypatch.setattr(kernels, "_prefers_varlen", lambda query, dropout: not dropout)
    for window in (None, 64):
        expected, _ = kernels.eager_attention(query, key, value, dense, window, 0.0)
        torch.testing.assert_close(kernels.sdpa_attention(query, key, value, flat, window, 0.0), expected)


@pytest.mark.parametrize(
    ("device", "dtype", "dropout", "capability", "wanted"),
    [
        ("cuda", torch.bfloat16, 0.0, (9, 0), True),
        ("cuda", torch.float16, 0.0, (8, 0), True),
        ("cuda", torch.float32, 0.0, (9, 0), False),
        ("cuda", torch.bfloat16, 0.1, (9, 0), False),
        ("cuda", torch.bfloat16, 0.0, (7, 5), False),
        ("cpu", torch.bfloat16, 0.0, (9, 0), False),
    ],
)
def test_where_the_variable_length_kernel_is_the_default(
    monkeypatch, device: str, dtype: torch.dtype, dropout: float, capability: tuple[int, int], wanted: bool
) -> None:
    query = SimpleNamespace(device=torch.device(device), dtype=dtype)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(kernels, "varlen_attn", object())
    assert kernels._prefers_varlen(query, dropout) is wanted  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(kernels, "varlen_attn", None)
    assert not kernels._prefers_varlen(query, dropout)  # pyright: ignore[reportArgumentType]

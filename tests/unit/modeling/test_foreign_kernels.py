"""Attention functions that are not ours: Transformers' flash attention, and a runtime that brings its own.

The functions themselves need a GPU or a runtime; the stand-ins here obey the same rules and say what they were told.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertModel
from chinese_modernbert.modeling.layers_chinese_modernbert import ChineseModernBertAttention
from reference.vllm_backend import VllmBackend

MakeConfig = Callable[..., ChineseModernBertConfig]


def slow_documents(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bounds: list[int], reach: int | None, scaling: float
) -> torch.Tensor:
    """Attend within documents of one flat row by the definition; returns `(1, tokens, heads, head size)`."""
    result = torch.zeros_like(query)
    for first, last in zip(bounds, bounds[1:], strict=False):
        places = torch.arange(last - first)
        scores = query[:, :, first:last] @ key[:, :, first:last].transpose(2, 3) * scaling
        if reach is not None:
            scores = scores.masked_fill((places[:, None] - places[None]).abs() > reach, -torch.inf)
        result[:, :, first:last] = scores.softmax(-1) @ value[:, :, first:last]
    return result.transpose(1, 2)


def register(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], mask: str | None) -> None:
    """Register a function as a user does, with the mask function that Transformers has for another kernel."""
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "stand_in", function)
    if mask is not None:
        monkeypatch.setitem(
            ALL_MASK_ATTENTION_FUNCTIONS._global_mapping, "stand_in", ALL_MASK_ATTENTION_FUNCTIONS[mask]
        )


def random_model(config: ChineseModernBertConfig) -> ChineseModernBertModel:
    torch.manual_seed(0)
    return ChineseModernBertModel(config).eval()


@pytest.mark.parametrize("is_deterministic", [False, True])
def test_flash_attention_gets_boundaries_and_an_inclusive_window(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, is_deterministic: bool
) -> None:
    told: list[dict[str, Any]] = []

    def stand_in(module, query, key, value, mask, scaling, sliding_window=None, cu_seq_lens_q=None, **kwargs):
        told.append(kwargs)
        reach = None if sliding_window is None else sliding_window - 1  # Transformers passes (w - 1, w - 1) on
        assert mask is None
        return slow_documents(query, key, value, cu_seq_lens_q.tolist(), reach, scaling), None

    register(monkeypatch, stand_in, "flash_attention_2")
    model = random_model(tiny_config(local_attention=64, deterministic_flash_attn=is_deterministic))
    ids = torch.randint(5, 200, (1, 140))
    documents = (torch.arange(140) // 90).unsqueeze(0)
    with torch.no_grad():
        expected = model(input_ids=ids, document_ids=documents).last_hidden_state
        model.config._attn_implementation = "stand_in"
        given = model(input_ids=ids, document_ids=documents).last_hidden_state
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-4)
    assert len(told) == model.config.num_hidden_layers
    assert all(one["max_length_q"] == one["max_length_k"] == 90 for one in told)
    assert all(one.get("deterministic", False) is is_deterministic for one in told)


@pytest.mark.parametrize("local_attention", [64, 128, 130])
def test_a_runtime_that_keeps_attention_for_itself_gives_our_numbers(
    tiny_config: MakeConfig, local_attention: int
) -> None:
    """Texts around the edges of the window, as one flat row with positions that restart."""
    model = random_model(tiny_config(local_attention=local_attention, max_position_embeddings=512))
    half = local_attention // 2
    lengths = [1, half, half + 1, half + 2, half + 3, 2 * half + 1, 2 * half + 2, 300]
    texts = [torch.randint(5, 200, (1, length)) for length in lengths]
    with torch.no_grad():
        expected = torch.cat([model(input_ids=text).last_hidden_state[0] for text in texts])
        given = VllmBackend(model)(torch.cat(texts, dim=1)[0], torch.cat([torch.arange(length) for length in lengths]))
    torch.testing.assert_close(given, expected, atol=2e-5, rtol=1e-4)


def test_a_window_one_token_off_would_be_seen(tiny_config: MakeConfig) -> None:
    """The stand-in counts windows as that runtime does, so the test above can fail."""
    config = tiny_config(local_attention=64)
    model, ids = random_model(config), torch.randint(5, 200, (1, 65 + 2))
    with torch.no_grad():
        expected = model(input_ids=ids).last_hidden_state[0]
        given = VllmBackend(model, window=config.sliding_window - 1)(ids[0], torch.arange(67))
    assert (given - expected).abs().max() > 1e-4


def test_the_runtime_finds_the_one_call_and_its_scale() -> None:
    """It reads the text of `forward`: one lookup in ALL_ATTENTION_FUNCTIONS, one call of it, `scaling=self....`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(ChineseModernBertAttention.forward)))
    looked_up = [
        node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and ast.unparse(node.value).startswith("ALL_ATTENTION_FUNCTIONS[")
    ]
    assert len(looked_up) == 1
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == looked_up[0]]
    assert len(calls) == 1
    scaling = next(keyword.value for keyword in calls[0].keywords if keyword.arg == "scaling")
    assert isinstance(scaling, ast.Attribute) and ast.unparse(scaling.value) == "self"
    module = ChineseModernBertAttention(ChineseModernBertConfig.preset("tiny"), 1)
    assert getattr(module, scaling.attr) == module.head_dim**-0.5
    assert module.layer_idx == 1 and module.is_causal is False


def test_what_a_runtime_hands_down_arrives_in_every_head(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chinese_modernbert import modeling

    seen: list[object] = []

    def stand_in(module: nn.Module, query: torch.Tensor, *rest: Any, **kwargs: Any) -> tuple[torch.Tensor, None]:
        seen.append(kwargs["attention_instances"])
        return query.transpose(1, 2), None

    register(monkeypatch, stand_in, "flash_attention_2")
    config = tiny_config(num_labels=2)
    config._attn_implementation = "stand_in"
    heads = [name for name in modeling.__all__ if name.startswith("ChineseModernBertFor")]
    assert len(heads) == 6
    for name in heads:
        seen.clear()
        shape = (1, 2, 6) if name.endswith("MultipleChoice") else (2, 6)
        getattr(modeling, name)(config)(input_ids=torch.full(shape, 7), attention_instances="instances")
        assert seen == ["instances"] * config.num_hidden_layers, name


def test_a_graph_of_a_foreign_kernel_with_padding_is_refused(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, lambda module, query, *rest, **kwargs: (query, None), "flash_attention_2")
    model = random_model(tiny_config())
    model.config._attn_implementation = "stand_in"
    mask = torch.tensor([[1, 1, 1, 0]])
    with pytest.raises(ValueError, match="cannot be told of padding"):
        torch.jit.trace(model, (torch.full((1, 4), 7), mask), strict=False)


@torch.no_grad()
@pytest.mark.parametrize("mask", ["sdpa", "eager"])
def test_a_function_of_the_users_gets_the_mask_it_expects_of_padding_documents_and_window(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, mask: str
) -> None:
    theirs = ALL_ATTENTION_FUNCTIONS["sdpa"]  # takes a boolean mask and one that is added
    dtypes = set()

    def mine(module, query, key, value, attention_mask, **kwargs):
        dtypes.add(attention_mask.dtype)
        return theirs(module, query, key, value, attention_mask, **kwargs)

    register(monkeypatch, mine, mask)
    model = random_model(tiny_config(local_attention=8))
    ids, kept = torch.randint(5, 200, (2, 30)), torch.ones(2, 30, dtype=torch.int64)
    kept[1, 20:] = 0
    documents = torch.where(kept == 1, torch.arange(30) // 12, -1)
    for given in ({"attention_mask": kept}, {"document_ids": documents}):
        model.set_attn_implementation("eager")
        expected = model(input_ids=ids, **given).last_hidden_state
        model.set_attn_implementation("stand_in")
        torch.testing.assert_close(model(input_ids=ids, **given).last_hidden_state, expected, atol=1e-5, rtol=1e-4)
    assert dtypes == {torch.bool if mask == "sdpa" else torch.float32}


def test_a_function_that_says_nothing_of_masks_is_refused_when_it_is_set(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, lambda module, query, *rest, **kwargs: (query, None), None)
    model = random_model(tiny_config())
    with pytest.raises(ValueError, match="does not say which mask it expects"):
        model.set_attn_implementation("stand_in")
    assert model.config._attn_implementation == "sdpa"
    with pytest.raises(ValueError, match="does not say which mask it expects"):
        ChineseModernBertModel(tiny_config(attn_implementation="stand_in"))
    with pytest.raises(ValueError, match="paged"):  # Transformers 4.57 has no such name
        model.set_attn_implementation("paged|eager")


def test_an_argument_that_nothing_reads_is_named(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = random_model(tiny_config()), torch.full((1, 4), 7)
    with pytest.raises(TypeError, match="token_type_ids: this model has no such input; leave it out"):
        model(input_ids=ids, token_type_ids=torch.zeros_like(ids), use_cache=False, past_key_values=None)

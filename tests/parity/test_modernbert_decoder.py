"""Transformers' ModernBERT decoder with the same weights is the oracle of `is_causal`."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from transformers import ModernBertDecoderConfig, ModernBertDecoderForCausalLM

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM

WINDOW = 16
SAME = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "layer_types"),
    *("pad_token_id", "cls_token_id", "sep_token_id"),
)
PARTS = ("q_proj", "k_proj", "v_proj")


@pytest.fixture
def twins(
    tiny_config: Callable[..., ChineseModernBertConfig],
) -> tuple[ModernBertDecoderForCausalLM, ChineseModernBertForMaskedLM]:
    """Return Transformers' decoder (eager) and our model with its weights; its matrices of attention come apart."""
    torch.manual_seed(0)
    bases = {"global_rope_theta": 160_000.0, "local_rope_theta": 10_000.0}
    ours = ChineseModernBertForMaskedLM(tiny_config(norm_type="layernorm", local_attention=2 * WINDOW, **bases)).eval()
    same = {name: getattr(ours.config, name) for name in SAME}
    config = ModernBertDecoderConfig(**same, bos_token_id=2, eos_token_id=3, attn_implementation="eager")
    config.sliding_window = WINDOW + 1  # the token itself counts
    theirs = ModernBertDecoderForCausalLM(config).eval()
    state = {}
    for name, tensor in ours.state_dict().items():
        if "Wqkv" in name:
            state |= {name.replace("Wqkv", part): own for part, own in zip(PARTS, tensor.chunk(3), strict=True)}
        else:
            state[re.sub(r"^head\.(dense|norm)", r"lm_head.\1", name)] = tensor
    theirs.load_state_dict(state)
    return theirs, ours


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("length", [1, WINDOW, WINDOW + 1, WINDOW + 2, 100, 900])
@torch.no_grad()
def test_logits_of_a_causal_text_are_equal(twins, kernel: str, length: int) -> None:
    theirs, ours = twins
    ours.set_attn_implementation(kernel)
    ids = torch.randint(5, 211, (1, length), generator=torch.Generator().manual_seed(length))
    torch.testing.assert_close(ours(ids, is_causal=True).logits, theirs(ids).logits, rtol=1e-4, atol=1e-4)


def test_loss_and_gradients_of_next_tokens_are_equal(twins) -> None:
    theirs, ours = twins
    ids = torch.randint(5, 211, (2, 70), generator=torch.Generator().manual_seed(0))
    expected = theirs(ids, labels=ids).loss
    labels = torch.nn.functional.pad(ids[:, 1:], (0, 1), value=-100)
    found = ours(ids, labels=labels, is_causal=True).loss
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found, ours.decoder.weight)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, theirs.decoder.weight)[0], rtol=1e-4, atol=1e-6)

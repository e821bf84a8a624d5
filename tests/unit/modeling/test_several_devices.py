"""A model whose layers are spread over devices, as `device_map="auto"` spreads them; the devices are pretended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from chinese_modernbert.modeling import (
    ChineseModernBertConfig,
    ChineseModernBertForMaskedLM,
    ChineseModernBertForQuestionAnswering,
    ChineseModernBertForSequenceClassification,
)
from reference.pretended_devices import PretendedDevices, place_of, placed

MakeConfig = Callable[..., ChineseModernBertConfig]
FIRST, SECOND = "cuda:0", "cuda:1"


def spread(model: Any) -> dict[torch.nn.Module, str]:
    """Return a device for each part of a model: all of it on the first, then some on the second."""
    encoder = model.model
    parts = {model: FIRST} | dict.fromkeys((module for module in model.children() if module is not encoder), SECOND)
    parts |= dict.fromkeys([encoder.layers[2], encoder.layers[3], encoder.final_norm], SECOND)
    # A tied decoder is where the embeddings are.
    tied = [model.decoder] if hasattr(model, "decoder") else []
    return parts | dict.fromkeys([encoder.embeddings, encoder.layers[0], encoder.layers[1], *tied], FIRST)


def inputs(kind: str) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 200, (2, 40), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 23:] = 0
    return {
        "full": {"input_ids": ids},
        "padded": {"input_ids": ids, "attention_mask": mask},
        "packed": {"input_ids": ids, "document_ids": torch.arange(40).expand(2, -1) // 17 - (mask == 0).long() * 9},
        "flat": {
            "input_ids": ids.view(1, 80),
            "cu_seq_lens_q": torch.tensor([0, 33, 80], dtype=torch.int32),
            "max_length_q": 47,
        },
    }[kind]


@torch.no_grad()
@pytest.mark.parametrize("kind", ["full", "padded", "packed", "flat"])
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("head", "labels"),
    [
        (ChineseModernBertForMaskedLM, True),
        (ChineseModernBertForQuestionAnswering, False),
        (ChineseModernBertForSequenceClassification, False),
    ],
)
def test_layers_on_two_devices_give_the_numbers_of_one(
    tiny_config: MakeConfig, head: Any, labels: bool, kernel: str, kind: str
) -> None:
    torch.manual_seed(0)
    model = head(tiny_config(local_attention=16, attn_implementation=kernel, classifier_pooling="cls")).train()
    given = inputs(kind)
    if labels:
        given["labels"] = torch.where(given["input_ids"] % 4 == 0, given["input_ids"], -100)
    expected = model(**given, output_hidden_states=True)
    with placed(spread(model)):
        on_first = {
            name: value.to(FIRST) if isinstance(value, torch.Tensor) else value for name, value in given.items()
        }
        found = model(**on_first, output_hidden_states=True)
    for name in expected:
        if name != "hidden_states":
            torch.testing.assert_close(found[name], expected[name])
            assert place_of(found[name]) == torch.device(FIRST)
    torch.testing.assert_close(found.hidden_states, expected.hidden_states)


def test_a_tensor_of_the_wrong_device_would_be_seen() -> None:
    with PretendedDevices(), pytest.raises(RuntimeError, match=r"tensors on \['cuda:0', 'cuda:1'\]"):
        torch.ones(2).to(FIRST) + torch.ones(2, device=SECOND)

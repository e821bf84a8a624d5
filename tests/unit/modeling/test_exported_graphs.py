"""A graph recorded at one length must be right at every other: below and above the window, padded and not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertModel
from chinese_modernbert.modeling import kernels_chinese_modernbert as kernels

MakeConfig = Callable[..., ChineseModernBertConfig]
LENGTHS = (3, 8, 9, 10, 17, 40, 61)


@pytest.fixture
def model(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> ChineseModernBertModel:
    """A window of 8, and a border between kernels at 20 tokens."""
    monkeypatch.setattr(kernels, "BANDED_FROM_TOKENS", 20)
    torch.manual_seed(0)
    return ChineseModernBertModel(tiny_config(local_attention=16)).eval()


def batch(length: int, rows: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(5, 200, (rows, length), generator=torch.Generator().manual_seed(length))
    mask = torch.ones_like(ids)
    mask[-1, (length + 1) // 2 :] = 0
    return ids, mask


class States(torch.nn.Module):
    """The model with one tensor as its output, as exporters want it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def right_at_every_length(graph: Callable[..., torch.Tensor], model: ChineseModernBertModel) -> None:
    for length in LENGTHS:
        ids, mask = batch(length)
        with torch.no_grad():
            expected = model(input_ids=ids, attention_mask=mask).last_hidden_state
            torch.testing.assert_close(graph(ids, mask), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("traced_at", [5, 9, 50])
def test_a_traced_graph_is_right_at_every_length(model: ChineseModernBertModel, kernel: str, traced_at: int) -> None:
    model.set_attn_implementation(kernel)
    with torch.no_grad():
        graph = torch.jit.trace(States(model), batch(traced_at))
    right_at_every_length(graph, model)


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("exported_at", [5, 50])
def test_an_exported_graph_is_right_at_every_length(
    model: ChineseModernBertModel, kernel: str, exported_at: int
) -> None:
    model.set_attn_implementation(kernel)
    sizes = {0: torch.export.Dim("batch", min=2, max=64), 1: torch.export.Dim("length", min=2, max=512)}
    with torch.no_grad():
        program = torch.export.export(
            States(model), batch(exported_at), dynamic_shapes={"input_ids": sizes, "attention_mask": sizes}
        )
    right_at_every_length(program.module(), model)


def test_positions_may_sum_more_than_eight_bits_of_booleans(model: ChineseModernBertModel) -> None:
    """Some runtimes keep the sum of booleans in the smallest type: no graph may ask for such a sum."""
    sizes = {0: torch.export.Dim("batch", min=2, max=64), 1: torch.export.Dim("length", min=2, max=512)}
    with torch.no_grad():
        program = torch.export.export(
            States(model), batch(50), dynamic_shapes={"input_ids": sizes, "attention_mask": sizes}
        )
    sums = [node for node in program.graph.nodes if "cumsum" in str(node.target)]
    assert sums and all(node.args[0].meta["val"].dtype == torch.int64 for node in sums)


@torch.no_grad()
def test_compiling_a_padded_batch_does_not_change_positions_that_grow_with_the_longest_text(
    tiny_config: MakeConfig,
) -> None:
    rope = {"full_attention": {"rope_type": "dynamic", "factor": 4.0}}
    torch.manual_seed(0)
    model = ChineseModernBertModel(tiny_config(max_position_embeddings=8, rope_parameters=rope)).eval()
    ids, mask = batch(40)
    mask[:, 20:] = 0
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="eager")
    expected = model(input_ids=ids, attention_mask=mask).last_hidden_state
    found = compiled(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)

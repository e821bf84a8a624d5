"""Compiled layers: the numbers of plain ones, one graph for all layers and numbers of documents, no break in it."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator

import pytest
import torch

from chinese_modernbert.modeling import ChineseModernBertForMaskedLM
from chinese_modernbert.modeling import layers_chinese_modernbert as layers


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Record and differentiate graphs, without the minutes of a C++ compiler; the list grows with each graph made."""
    made: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        made.append(len(inputs))
        return torch._dynamo.backends.registry.lookup_backend("aot_eager")(graph, inputs)

    torch._dynamo.reset()
    layers._compiled.cache_clear()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend, fullgraph=True))
    yield made
    layers._compiled.cache_clear()
    torch._dynamo.reset()


def flat_batch(lengths: list[int]) -> dict[str, torch.Tensor]:
    """Return a flat row of documents, every other token labelled."""
    ids = torch.randint(5, 200, (1, sum(lengths)), generator=torch.Generator().manual_seed(len(lengths)))
    labels = torch.where(torch.arange(ids.shape[1]) % 2 == 0, ids, -100)
    return {"input_ids": ids, "cu_seq_lens_q": torch.tensor([0, *lengths]).cumsum(0).to(torch.int32), "labels": labels}


def losses_and_gradients(model: ChineseModernBertForMaskedLM, batches: list[dict]) -> list[torch.Tensor]:
    """Return the loss of each batch, then the summed gradient of each parameter."""
    model.zero_grad()
    losses = [model(**batch).loss for batch in batches]
    torch.stack(losses).sum().backward()
    return [*(loss.detach() for loss in losses), *(parameter.grad.clone() for parameter in model.parameters())]


@pytest.mark.parametrize("autocast", [False, True])
def test_numbers_are_those_of_plain_layers(tiny_config, graphs: list[int], autocast: bool) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(tiny_config())
    batches = [flat_batch(lengths) for lengths in ([70, 20, 30], [120], [10] * 12, [90, 80], [33])]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        expected = losses_and_gradients(model, batches)
        model.compile_layers()
        found = losses_and_gradients(model, batches)
    assert graphs
    # aot_eager computes what the plain layers compute, product by product
    tolerance = {"rtol": 2e-2, "atol": 2e-2} if autocast else {"rtol": 1e-4, "atol": 1e-6}
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


def test_one_graph_serves_all_layers_and_other_documents(tiny_config, graphs: list[int]) -> None:
    model = ChineseModernBertForMaskedLM(tiny_config())
    model.compile_layers()
    losses_and_gradients(model, [flat_batch([70, 20, 30])])
    first = len(graphs)
    # Before: the first layer has no norm. After: one for all.
    assert first == 3
    causal = {**flat_batch([60, 60]), "is_causal": True}
    losses_and_gradients(model, [flat_batch([120]), flat_batch([10] * 12), flat_batch([100, 20]), causal])
    assert len(graphs) == first
    losses_and_gradients(model, [flat_batch([50, 40])])  # another number of tokens: graphs for any number
    second = len(graphs)
    losses_and_gradients(model, [flat_batch([lengths]) for lengths in (91, 33, 200)])
    assert len(graphs) == second <= 2 * first


@torch.no_grad()
def test_a_copy_runs_its_own_weights(tiny_config, graphs: list[int]) -> None:
    torch.manual_seed(0)
    model = ChineseModernBertForMaskedLM(tiny_config()).eval()
    model.compile_layers()
    batch = flat_batch([70, 20])
    before = model(**batch).logits
    twin = copy.deepcopy(model)
    for parameter in twin.model.layers.parameters():
        parameter.mul_(2)
    assert not torch.allclose(twin(**batch).logits, before)
    torch.testing.assert_close(model(**batch).logits, before)
    assert not any("compiled" in name for name in model.state_dict())
    count = len(graphs)
    model.compile_layers(False)
    torch.testing.assert_close(model(**batch).logits, before)
    assert len(graphs) == count

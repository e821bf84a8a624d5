"""How much each word matters to a decision, by four methods; each gives a weight for every word of every text.

A word that speaks for the explained label has a positive weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...runtime.counter_random import CounterRandom
from .masked_texts import MaskedTexts

Weights = list[NDArray[np.float64]]

SEARCHED_WORDS = 32
"""Words of a text that `search` puts in order; the rest follow as leave-one-out has them. Source: our default, since
the rows grow with the square of it."""


def leave_one_out(texts: MaskedTexts) -> Weights:
    """Return the log-probability that masking each word alone costs. One row for each word."""
    sizes = [len(units) for units in texts.units]
    found = texts.weight([(number, row) for number, size in enumerate(sizes) for row in np.eye(size, dtype=np.bool_)])
    return np.split(found, np.cumsum(sizes)[:-1]) if sizes else []


def search(texts: MaskedTexts, beams: int = 1, steps: int = SEARCHED_WORDS) -> Weights:
    """Search the order of words that deletion and sufficiency curves rate best.

    The words so far shall cost much when they are masked, and little when they alone are left; the sum of that
    difference over all steps is what the two areas measure. Each step tries every word that is left, for all texts at
    once. Source: Faithfulness Measurable Masked Language Models (arXiv 2310.07819) and, for the objective, The
    Solvability of Interpretability Evaluation Metrics (arXiv 2205.08696), by beam search.

    Args:
        texts: the texts
        beams: orders that are kept at each step; 1 is greedy
        steps: words of a text that are searched; the others follow by leave-one-out

    Returns:
        For each word the share of the words that do not come before it: 1 for the first.
    """
    alone = leave_one_out(texts)
    kept: list[list[tuple[float, tuple[int, ...]]]] = [[(0.0, ())] for _ in alone]
    for step in range(max((min(steps, len(own)) for own in alone), default=0)):
        tried = [
            (number, total, (*order, word))
            for number, own in enumerate(alone)
            if step < min(steps, len(own))
            for total, order in kept[number]
            for word in range(len(own))
            if word not in order
        ]
        masks = [(number, np.isin(np.arange(len(alone[number])), order)) for number, _, order in tried]
        gains = texts.lost(masks) - texts.lost([(number, ~mask) for number, mask in masks])
        found: dict[int, dict[frozenset[int], tuple[float, tuple[int, ...]]]] = {}
        for (number, total, order), gain in zip(tried, gains, strict=True):
            same = found.setdefault(number, {})  # of two orders of the same words the better one goes on
            same[frozenset(order)] = max(same.get(frozenset(order), (-np.inf, ())), (total + float(gain), order))
        for number, sets in found.items():
            kept[number] = sorted(sets.values(), key=lambda pair: -pair[0])[:beams]
    weights = []
    for own, orders in zip(alone, kept, strict=True):
        first = list(orders[0][1])
        order = [*first, *(word for word in texts.order(own).tolist() if word not in first)]
        ranks = np.empty(len(own))
        ranks[order] = 1 - np.arange(len(own)) / max(len(own), 1)
        weights.append(ranks)
    return weights


def random_weights(texts: MaskedTexts, seed: int, draw: int = 0) -> Weights:
    """Return a uniform number for every word, the same for the same seed, draw and text number."""
    sizes = [len(units) for units in texts.units]
    uniform = CounterRandom(seed, draw, np.arange(len(sizes)))
    rows = np.repeat(np.arange(len(sizes)), sizes)
    places = np.concatenate([np.arange(0), *map(np.arange, sizes)])
    return np.split(uniform("random words", rows, places), np.cumsum(sizes)[:-1]) if sizes else []


def gradient_times_input(
    texts: MaskedTexts,
    model: nn.Module,
    rows: Sequence[Mapping[str, Any]],
    collate: Callable[[list[Any]], Mapping[str, torch.Tensor]],
    batch_size: int = 32,
) -> Weights:
    """Return the sum over each word's tokens of the embedding times the gradient of the explained output.

    Args:
        texts: the texts
        model: classifier that takes `inputs_embeds` instead of `input_ids`
        rows: their tokenized rows
        collate: rows -> padded batch, with `input_ids`
        batch_size: rows at once

    Raises:
        ValueError: If the model does not take embeddings.
    """
    find: Any = getattr(model, "get_input_embeddings", None)
    embed = find() if find is not None else None
    if not isinstance(embed, nn.Module):
        raise ValueError(f"{type(model).__name__} has no table of input embeddings; leave gradient out of methods")
    model.eval()
    device = next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]["input_ids"]))
    weights: Weights = [np.zeros(0)] * len(rows)
    for first in range(0, len(order), batch_size):
        numbers = order[first : first + batch_size]
        batch = {name: value.to(device) for name, value in collate([rows[i] for i in numbers]).items()}
        embedded = embed(batch.pop("input_ids")).detach().requires_grad_()
        outputs = _with_embeddings(model, embedded, batch).reshape(len(numbers), -1).float()
        values = outputs if texts.kind in ("multi_label", "regression") else outputs.log_softmax(dim=-1)
        chosen = values.gather(1, torch.from_numpy(texts.targets[numbers]).to(device).unsqueeze(1)).sum()
        (gradient,) = torch.autograd.grad(chosen, embedded)
        products = (gradient * embedded.detach()).sum(dim=-1).double().cpu().numpy()
        for row, number in zip(products, numbers, strict=True):
            weights[number] = np.array([row[list(unit.positions)].sum() for unit in texts.units[number]])
    return weights


def _with_embeddings(model: nn.Module, embedded: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the logits for embedded tokens."""
    try:
        return model(inputs_embeds=embedded, **batch).logits
    except (TypeError, NotImplementedError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{type(model).__name__} takes no embeddings ({reason}); leave gradient out of methods"
        ) from error

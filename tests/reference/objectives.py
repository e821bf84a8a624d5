"""Slow, obvious twins of the objectives' losses: a loop over documents, positions and keys, dense targets."""

import math

import torch
from torch import nn
from torch.nn.functional import log_softmax

from chinese_modernbert.modeling import ChineseModernBertForMaskedLM


def documents_of(document_ids: torch.Tensor) -> list[tuple[int, slice]]:
    """Return (row, columns) of each document of a batch."""
    found = []
    for row, ids in enumerate(document_ids.tolist()):
        for number in dict.fromkeys(one for one in ids if one >= 0):
            columns = [column for column, one in enumerate(ids) if one == number]
            found.append((row, slice(columns[0], columns[-1] + 1)))
    return found


def dense_bag_loss(logits: torch.Tensor, ids: list[int], excluded: set[int]) -> torch.Tensor:
    """Return the cross-entropy of logits `(V,)` against a target that is uniform over the ids."""
    bag = sorted(set(ids) - excluded)
    target = torch.zeros_like(logits)
    target[bag] = 1 / len(bag)
    return -(target * log_softmax(logits, dim=-1)).sum()


def rotate(vector: torch.Tensor, position: int, theta: float) -> torch.Tensor:
    """Rotate one head's vector `(head_dim,)` as RoFormer does, halves as pairs."""
    half = len(vector) // 2
    result = vector.clone()
    for pair in range(half):
        angle = position / theta ** (2 * pair / len(vector))
        left, right = vector[pair], vector[pair + half]
        result[pair] = left * math.cos(angle) - right * math.sin(angle)
        result[pair + half] = right * math.cos(angle) + left * math.sin(angle)
    return result


def rebuild_loss(
    model: ChineseModernBertForMaskedLM,
    layer: nn.Module,
    norm: nn.Module,
    vector: torch.Tensor,
    ids: list[int],
    visible: torch.Tensor,
) -> torch.Tensor:
    """Return RetroMAE's summed loss of one document `[CLS] x [SEP]`, position by position, head by head."""
    config = model.config
    hidden, size = config.hidden_size, config.head_dim
    theta = config.rope_parameters["full_attention"]["rope_theta"]
    w_query, w_key, w_value = layer.attn.Wqkv.weight.split(hidden)
    embedded = model.model.embeddings(torch.tensor([ids]))[0]
    memory = [vector, *embedded[1:]]
    total = torch.zeros(())
    for position in range(1, len(ids) - 1):
        heads = []
        for head in range(config.num_attention_heads):
            part = slice(head * size, (head + 1) * size)
            query = rotate((w_query @ vector)[part], position, theta)
            seen = [place for place in range(len(ids)) if visible[position, place]]
            keys = torch.stack([rotate((w_key @ memory[place])[part], place, theta) for place in seen])
            values = torch.stack([(w_value @ memory[place])[part] for place in seen])
            heads.append(torch.softmax(keys @ query / math.sqrt(size), dim=0) @ values)
        state = vector + layer.attn.Wo(torch.cat(heads))
        state = norm(state + layer.mlp(layer.mlp_norm(state)))
        logits = model.decoder(model.head(state))
        total = total - log_softmax(logits, dim=-1)[ids[position]]
    return total
